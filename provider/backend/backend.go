// Package backend says what a scanner backend is asked. The backends are in
// the folders below; what they answer is a report.Scan, and the errors they
// return are report.Failures, so that the scan service never has to know which
// backend it talks to.
package backend

import "time"

// Image is one image manifest to scan. An index is never handed to a scanner:
// backends disagree about which of its platforms they would pick.
type Image struct {
	// Registry is the base URL of the registry with its scheme:
	// https://index.docker.io or http://127.0.0.1:5000.
	Registry string
	// Repository is the path within the registry: library/nginx.
	Repository string
	// Digest of the manifest: sha256:...
	Digest string
	// Index is the digest of the index that the manifest was chosen from, the
	// one that gets pinned; empty for a manifest that was asked for itself. It
	// is never scanned: statements about the image may be attached to it.
	Index string
	// Tag the digest was resolved from; empty when the Pod named a digest.
	Tag string
	// MediaType of the manifest.
	MediaType string
	// Platform is os/arch[/variant] when the manifest came out of an index.
	Platform string
	// Authorization is the value of the HTTP Authorization header that opens
	// the registry ("Basic ...", "Bearer ..."), or empty for anonymous access.
	// It is a secret: it is never logged and never stored.
	Authorization string
	// Share names on whose behalf the image is scanned, as a namespace: a scanner
	// that takes it shares itself fairly among the names. It may be empty.
	Share string
}

// Generation says what a scan started now would be based on. When it is not
// what a remembered scan was based on, that scan is worth making again. The zero
// Generation is that of a scanner that has not told yet.
type Generation struct {
	// Scanner is its name and version: "Trivy v0.63.0". It equals
	// report.Scan.Scanner of the scans it makes.
	Scanner string
	// DatabaseBuiltAt is zero when the scanner does not tell.
	DatabaseBuiltAt time.Time
}
