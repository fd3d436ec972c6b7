// Package sandbox runs one scan in one child process. Images are hostile
// input: whatever a scan does to memory, disk or time ends with its process,
// and its files end with its private directory.
//
// The child is this binary again with a hidden subcommand. It gets a Request as
// JSON on stdin (credentials never appear in arguments or environment), writes
// an Outcome as JSON on stdout and log lines on stderr.
package sandbox

import (
	"errors"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
)

// SBOMFile is the name, in the private directory, of the package list that the
// child leaves behind for the parent's cache.
const SBOMFile = "sbom.json"

// LayersDir is the name, in the private directory, of the directory in which the
// child leaves layers for the parent's cache.
const LayersDir = "layers"

// ErrListUnreadable is in the chain of an error that says: the package list
// could be opened and is not what Syft writes.
var ErrListUnreadable = errors.New("the package list cannot be read")

// Request is what a child is told.
type Request struct {
	// Registry is the base URL with scheme, Repository the path in it.
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Tag        string `json:"tag,omitempty"`
	// Authorization is the HTTP header's value; empty for anonymous access.
	Authorization string `json:"authorization,omitempty"`
	// PlainHTTP are the hosts (with port) that may be talked to without TLS.
	PlainHTTP []string `json:"plainHTTP,omitempty"`
	// Authorities are certificate authorities, as PEM, that are trusted for a
	// registry's host beside the system's.
	Authorities map[string]string `json:"authorities,omitempty"`
	// TokenHosts are the token servers, ip[:port], that a registry may name
	// although their address is private.
	TokenHosts []string `json:"tokenHosts,omitempty"`
	// DatabaseDir holds the vulnerability database, read only.
	DatabaseDir string `json:"databaseDir"`
	// SBOM is a package list of this digest from an earlier scan, or empty.
	SBOM string `json:"sbom,omitempty"`
	// LayerCache is the directory of unpacked layers from earlier scans, read
	// only; empty when there is none.
	LayerCache string `json:"layerCache,omitempty"`
	// WorkDir is the private directory.
	WorkDir string `json:"workDir"`
	Limits  Limits `json:"limits"`
}

// Limits bound one scan. Zero values are not limits of zero but mistakes; see
// worker.Config for the defaults.
type Limits struct {
	// Timeout bounds the whole scan.
	Timeout time.Duration `json:"timeout"`
	// Stall is how long a registry may send nothing while something is read from
	// it.
	Stall time.Duration `json:"stall"`
	// LeastTransfer is how many bytes must come from a registry while a scan waits
	// for it for as long as TransferWindow; 0 asks for none.
	LeastTransfer  int64         `json:"leastTransfer"`
	TransferWindow time.Duration `json:"transferWindow"`
	// Memory in bytes: the Go runtime of the child aims below it, and the child
	// is killed above it.
	Memory int64 `json:"memory"`
	// File is the size in bytes that no single file on disk may pass.
	File int64 `json:"file"`
	// Disk is the total in bytes of the private directory, and of all layers
	// unpacked.
	Disk int64 `json:"disk"`
	// Files is how many files the private directory may hold.
	Files int `json:"files"`
	// Output caps the child's answer in bytes.
	Output int64 `json:"output"`
}

// Findings is what a scan found, without the frame of a report: who scanned
// when is the parent's to say, not the child's.
type Findings struct {
	Vulnerabilities []harbor.Vulnerability `json:"vulnerabilities"`
	Suppressed      []harbor.Suppressed    `json:"suppressed,omitempty"`
	Distro          string                 `json:"distro,omitempty"`
	Packages        int                    `json:"packages"`
	// Unmatched are the packages of a distribution that the database does not
	// know; nothing can be found in them.
	Unmatched int `json:"unmatched,omitempty"`
	// EndOfLife is when the maintenance of the distribution ends or ended; nil
	// when the database does not tell.
	EndOfLife *time.Time `json:"endOfLife,omitempty"`
	// RiskData says whether it is known which findings are exploited.
	RiskData *harbor.RiskData `json:"riskData,omitempty"`
}

// Outcome is what a child answers: findings or a failure.
type Outcome struct {
	Findings *Findings        `json:"findings,omitempty"`
	Failure  *failure.Failure `json:"failure,omitempty"`
	// ListUnreadable says that the failure is of the package list itself.
	ListUnreadable bool `json:"listUnreadable,omitempty"`
}
