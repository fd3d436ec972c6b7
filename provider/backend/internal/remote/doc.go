// Package remote is how a backend speaks HTTP with a scanner that runs
// elsewhere. What every such backend needs is here once: a transport with
// verified TLS and an optional proxy, bounded answers, a rate limit, pauses
// when the scanner asks for them, and report.Failures in words that a Pod's
// author understands, free of credentials.
package remote
