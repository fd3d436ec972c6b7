// Package loopback is the place where Gatekeeper's engine, running in this
// process, finds its external data. The engine's HTTP client cannot be
// replaced and insists on HTTPS with TLS 1.3, so a review needs a real server:
// this one listens on loopback, lets in nobody but the engine, writes down what
// was asked and answered, and leaves the answering to a handler.
package loopback
