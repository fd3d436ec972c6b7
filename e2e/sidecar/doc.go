// Package sidecar tests the programs as the containers of a Pod run them: the provider
// and the scan worker beside each other, with a socket in a shared folder, and the
// probes that need no shell. The package holds only tests.
package sidecar
