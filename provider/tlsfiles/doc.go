// Package tlsfiles makes TLS servers and clients whose certificates and CA
// bundles follow the files they came from, so that whoever rotates them
// (cert-controller, cert-manager, a human) needs no restart.
//
// Package filewatch follows the files. One that no longer parses changes
// nothing: what was loaded last stays in use, the error is logged once and
// shows in a metric.
//
// controller-runtime's certwatcher does this for a key pair only; it covers no
// CA bundle, and its errors reach neither the caller's log nor its readiness.
package tlsfiles
