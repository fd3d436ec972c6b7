// Package webhook is the HTTP side of the mutator: it speaks
// admission.k8s.io/v1 with the API server, bounds what a request may cost, and
// serves health and metrics.
package webhook
