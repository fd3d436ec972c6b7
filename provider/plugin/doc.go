// Package plugin has the commands of `kubectl imagegate`. They read the API server with
// the rights of whoever runs them, and need no other: what a tenant may not see is said to
// be so. The binary links neither OPA nor a scanner.
package plugin
