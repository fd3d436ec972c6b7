// Package registry answers what an image reference means now: which digest a
// tag points to, which manifests of an index have to be judged, and with whose
// credentials the image may be read.
//
// It speaks the OCI distribution API through go-containerregistry and adds
// what an admission path needs: one request for many askers, bounds on
// everything a registry may send, plain HTTP only where it was asked for, and
// proof of pull access that is never lent from one Pod to another.
package registry
