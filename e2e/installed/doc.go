// Package installed tries `provider serve` with install.enabled against the real
// API server and the real Gatekeeper: everything from an empty cluster to an empty
// cluster is the process's doing. And `provider doctor` finds each thing that is broken in it.
package installed
