// Package plugin has the commands of `kubectl imagegate`. They read the API server with
// the rights of whoever runs them, and need no other: what a tenant may not see is said to
// be so. What the cluster itself does not know they ask the report pages of a provider, over
// a forwarded port. The binary links neither OPA nor a scanner.
package plugin
