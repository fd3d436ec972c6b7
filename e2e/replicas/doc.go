// Package replicas proves that any number of providers is one: it runs them as
// the real programs, with a real registry and a real NATS, puts a load of Pods on
// them, and breaks one part after another.
//
// Only the scanner is played: it speaks the Harbor Pluggable Scanner API, takes
// as long as it is told to, and counts, since how often an image was scanned over
// all providers is what is to be known. There is no Kubernetes here: Pods are
// what their webhooks would ask of the provider.
package replicas
