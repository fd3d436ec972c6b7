// Package installed tests `provider serve` with install.enabled against the real
// API server and the real Gatekeeper: the process installs everything into an empty
// cluster, and leaves an empty cluster behind. The tests also break one thing after
// another, and `provider doctor` has to find each.
package installed
