// Package imagescan is what happens inside a child process: pull one image by
// digest, list its packages with Syft, match them with Grype against a database
// on disk.
//
// The package list is written down and read back even when it has just been
// made, so that a scan from the cache gives the same findings as the first one.
package imagescan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/dustin/go-humanize"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/rootfs"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// Scanner does one scan.
type Scanner struct{ texts *licences }

// Warm returns a scanner that prepares itself for listing packages, before it
// knows of which image. It gives back what memory that took for a while.
func Warm(ctx context.Context) *Scanner {
	s := &Scanner{texts: prepareLicences(ctx)}
	go func() {
		<-s.texts.ready
		debug.FreeOSMemory()
	}()
	return s
}

// Scan pulls, lists and matches. Errors are of type *failure.Failure where the
// cause is known.
func (s *Scanner) Scan(ctx context.Context, req sandbox.Request) (*sandbox.Findings, error) {
	start := time.Now()
	texts := s.texts
	if texts == nil && req.SBOM == "" {
		texts = prepareLicences(ctx)
	}
	reader, err := v6.NewReader(v6.Config{DBDirPath: req.DatabaseDir})
	if err != nil {
		return nil, failure.Wrap(failure.Database, err, "the vulnerability database could not be opened")
	}
	defer reader.Close() //nolint:errcheck // read only, and the process ends here
	risk, err := watchRisk(reader)
	if err != nil {
		return nil, failure.Wrap(failure.Internal, err, "the vulnerability database could not be asked for risk data")
	}
	opened := time.Now()

	// Even when the package list is known the manifest is fetched: it proves
	// that these credentials may read the image.
	img, err := pull(ctx, req)
	if err != nil {
		return nil, explain(err, req)
	}
	pulled := time.Now()
	sbom := req.SBOM
	if sbom == "" {
		sbom = filepath.Join(req.WorkDir, sandbox.SBOMFile)
		if err := writeSBOM(ctx, img, req, texts, sbom); err != nil {
			return nil, explain(err, req)
		}
	}
	listed := time.Now()
	findings, err := findMatches(ctx, v6.NewVulnerabilityProvider(risk), reader, risk, sbom)
	if err != nil {
		return nil, explain(err, req)
	}
	slog.InfoContext(ctx, "scanned", "packages", findings.Packages, "findings", len(findings.Vulnerabilities),
		"sbom_cached", req.SBOM != "", "database", opened.Sub(start), "manifest", pulled.Sub(opened), "list", listed.Sub(pulled), "match", time.Since(listed))
	return findings, nil
}

// explain turns what the operating system says about our own limits into
// failures; other errors keep their meaning.
func explain(err error, req sandbox.Request) error {
	var f *failure.Failure
	var broken *rootfs.Error
	switch {
	case errors.As(err, &f):
		return err
	case errors.As(err, &broken):
		return failure.Wrap(failure.Invalid, err, "the image is broken: container runtimes do not unpack it: %s", broken)
	case errors.Is(err, rootfs.ErrTooManyEntries):
		return failure.Wrap(failure.TooLarge, err, "a layer of the image has more than %d files, the limit", rootfs.MaxEntries)
	case errors.Is(err, syscall.EFBIG):
		return failure.Wrap(failure.TooLarge, err, "a layer or a file of the image is larger than %s, the limit on one file", humanize.IBytes(uint64(req.Limits.File)))
	case errors.Is(err, syscall.ENOMEM):
		return failure.Wrap(failure.TooLarge, err, "the scan needs more memory than it may use")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return failure.Wrap(failure.Internal, err, "the scanner worker's disk is full")
	case errors.Is(err, syscall.EIO):
		return failure.Wrap(failure.Internal, err, "the scanner worker's disk cannot be read or written")
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return failure.Wrap(failure.Internal, err, "the scanner worker may not open as many files as the scan needs")
	case errors.Is(err, context.DeadlineExceeded):
		return failure.Wrap(failure.Timeout, err, "the scan took longer than %s, the limit", req.Limits.Timeout)
	case errors.Is(err, context.Canceled):
		return failure.Wrap(failure.Stopped, err, "the scan was stopped before its end")
	case errors.Is(err, os.ErrPermission):
		return failure.Wrap(failure.Internal, err, "the scanner worker may not write to its own directory")
	default:
		return registryFailure(err, fmt.Sprintf("%s@%s", req.Repository, req.Digest))
	}
}
