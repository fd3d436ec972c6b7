// Package sidecar tests the programs as a Pod's containers run them: the provider
// and the scan worker beside each other, with a socket in a shared folder, and the
// probes of images without a shell. It has no code of its own.
package sidecar
