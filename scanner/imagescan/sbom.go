package imagescan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/cataloging"
	"github.com/anchore/syft/syft/format/syftjson"
	"github.com/anchore/syft/syft/sbom"
	"github.com/anchore/syft/syft/source"
	"github.com/anchore/syft/syft/source/stereoscopesource"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/rootfs"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// writeSBOM reads the image's layers, lists its packages and writes the list in
// Syft's JSON, the format that loses nothing Grype wants to know.
func writeSBOM(ctx context.Context, img *pulledImage, req sandbox.Request, licences *licences, path string) error {
	list, err := listPackages(ctx, img, req, licences)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the file of the package list: %w", err)
	}
	if err := syftjson.NewFormatEncoder().Encode(f, *list); err != nil {
		_ = f.Close()
		return fmt.Errorf("write the package list: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write the package list: %w", err)
	}
	return nil
}

func listPackages(ctx context.Context, img *pulledImage, req sandbox.Request, licences *licences) (list *sbom.SBOM, err error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	dir, err := os.MkdirTemp(req.WorkDir, "unpacked-")
	if err != nil {
		return nil, fmt.Errorf("make the directory of the layers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	layers, err := img.layers(ctx, config, dir, req)
	defer func() {
		for _, l := range layers {
			l.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	systems, err := fileSystems(ctx, layers)
	if err != nil {
		return nil, err
	}
	if ctx, err = licences.wait(ctx); err != nil {
		return nil, err
	}
	// An image is as bad as the worst of the systems that it may become.
	for _, tree := range systems {
		more, err := listTree(ctx, img, tree, layers, req)
		if err != nil {
			return nil, err
		}
		if list, err = joined(list, more); err != nil {
			return nil, err
		}
	}
	img.leaveForCache(ctx, layers, req)
	return list, nil
}

// fileSystems applies the layers as runtimes do.
func fileSystems(ctx context.Context, layers []*layer) ([]*rootfs.Tree, error) {
	indexes, cached := make([]*rootfs.Layer, len(layers)), 0
	for i, l := range layers {
		indexes[i] = l.index
		if l.cached {
			cached++
		}
	}
	systems, err := rootfs.Make(ctx, indexes)
	if err != nil {
		return nil, err
	}
	slog.InfoContext(ctx, "layers read", "layers", len(layers), "cached", cached)
	if len(systems) > 1 {
		slog.InfoContext(ctx, "container runtimes make different file systems of the image; packages of each are listed")
	}
	return systems, nil
}

// listTree lists the packages of one file system.
func listTree(ctx context.Context, img *pulledImage, tree *rootfs.Tree, layers []*layer, req sandbox.Request) (list *sbom.SBOM, err error) {
	ref := req.Repository + "@" + req.Digest
	shown, err := img.asImage(ctx, ref, tree, layers)
	if err != nil {
		return nil, err
	}
	src := stereoscopesource.New(shown, stereoscopesource.ImageConfig{Reference: ref})
	defer func() { err = errors.Join(err, src.Close()) }()
	if list, err = complete(ctx, src); err != nil {
		return nil, fmt.Errorf("list the image's packages: %w", err)
	}
	return list, nil
}

// joined adds the packages of one list to another. Packages are looked up by the
// distribution, so both must name the same.
func joined(list, more *sbom.SBOM) (*sbom.SBOM, error) {
	if list == nil {
		return more, nil
	}
	if a, b := list.Artifacts.LinuxDistribution, more.Artifacts.LinuxDistribution; a == nil {
		list.Artifacts.LinuxDistribution = b
	} else if b != nil && (a.ID != b.ID || a.VersionID != b.VersionID) {
		return nil, failure.New(failure.Unsupported, "container runtimes make different file systems of the image's layers: one of %s %s and one of %s %s",
			short(a.ID), short(a.VersionID), short(b.ID), short(b.VersionID))
	}
	for p := range more.Artifacts.Packages.Enumerate() {
		list.Artifacts.Packages.Add(p)
	}
	list.Relationships = append(list.Relationships, more.Relationships...)
	return list, nil
}

// complete lists the packages of a source, all of them or none.
func complete(ctx context.Context, src source.Source) (*sbom.SBOM, error) {
	list, err := syft.CreateSBOM(ctx, src, catalogers())
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, failure.New(failure.Internal, "the image's packages could not be listed")
	}
	// Syft gives what it has, and no error, when its context ends.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := lackedResources(list); err != nil {
		return nil, err
	}
	return list, nil
}

// catalogers are set as Grype's command line sets them, so that the same image
// gives the same findings: symbols of Go binaries sort out vulnerabilities in
// code that is not there, and a package without a version cannot be matched.
func catalogers() *syft.CreateSBOMConfig {
	cfg := syft.DefaultCreateSBOMConfig()
	cfg.Packages.Golang = cfg.Packages.Golang.WithCaptureSymbols(cataloging.SymbolScopeAll)
	cfg.Compliance.MissingVersion = cataloging.ComplianceActionDrop
	// What one cataloger could not read matters even where another found
	// packages: lackedResources has to see it.
	cfg.Unknowns.RemoveWhenPackagesDefined = false
	return cfg
}

// lackedResources finds the files that could not be read for want of something,
// not for being odd. Syft notes both with the file and goes on; a list that lacks
// packages for such a reason must not be kept by digest. The error is the system's.
func lackedResources(list *sbom.SBOM) error {
	for file, notes := range list.Artifacts.Unknowns {
		for _, note := range notes {
			for _, cause := range []syscall.Errno{
				syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO,
			} {
				// All that is left of an error is its text.
				if strings.Contains(note, cause.Error()) {
					return fmt.Errorf("%s: %s: %w", file.RealPath, note, cause)
				}
			}
		}
	}
	return nil
}

// licences is Syft's recogniser of licence texts. Syft insists on one and takes
// most of a second to make it, so it is made while layers are fetched.
type licences struct {
	ready chan struct{}
	ctx   context.Context //nolint:containedctx // it is how Syft hands the recogniser over
	err   error
}

func prepareLicences(ctx context.Context) *licences {
	l := &licences{ready: make(chan struct{})}
	go func() {
		defer close(l.ready)
		l.ctx, l.err = syft.SetContextLicenseScanner(ctx, cataloging.DefaultLicenseConfig())
	}()
	return l
}

// wait returns a context that carries the recogniser. The scan's context ends
// it early.
func (l *licences) wait(ctx context.Context) (context.Context, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ready:
	}
	if l.err != nil {
		return nil, fmt.Errorf("prepare the listing of packages: %w", l.err)
	}
	return withValues{Context: ctx, more: l.ctx}, nil
}

// withValues is a context that knows the values of another, but does not end
// with it.
type withValues struct {
	context.Context
	more context.Context //nolint:containedctx // for its values only
}

// Value looks in both.
func (c withValues) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.more.Value(key)
}
