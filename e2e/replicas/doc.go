// Package replicas shows that any number of providers acts as one. It runs the real
// provider with a real registry and a real NATS, puts a load of Pods on the replicas,
// and breaks one part after another.
//
// Only the scanner is simulated: it speaks the Harbor Pluggable Scanner API, and a
// scan takes as long as the test sets. It counts the scans, because the tests have to
// know how often all providers together had an image scanned. There is no Kubernetes
// here: a Pod is the questions that its webhooks would ask the provider.
package replicas
