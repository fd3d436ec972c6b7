package imagescan

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/anchore/stereoscope/pkg/file"
	"github.com/anchore/stereoscope/pkg/image"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/cataloging"
	"github.com/anchore/syft/syft/format/syftjson"
	"github.com/anchore/syft/syft/sbom"
	"github.com/anchore/syft/syft/source/stereoscopesource"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// writeSBOM reads the image's layers, lists its packages and writes the list in
// Syft's JSON, the format that loses nothing Grype wants to know.
func writeSBOM(ctx context.Context, img v1.Image, req sandbox.Request, path string) error {
	list, err := listPackages(ctx, img, req)
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

func listPackages(ctx context.Context, img v1.Image, req sandbox.Request) (list *sbom.SBOM, err error) {
	temp := file.NewTempDirGenerator("layers")
	defer func() { err = errors.Join(err, temp.Cleanup()) }()
	dir, err := temp.NewDirectory("content")
	if err != nil {
		return nil, fmt.Errorf("make the directory of the layers: %w", err)
	}
	file.SetPerFileReadLimit(req.Limits.File)

	ref := req.Repository + "@" + req.Digest
	content := image.New(img, temp, dir, image.WithRepoDigests(ref))
	if err := content.Read(ctx); err != nil {
		return nil, fmt.Errorf("read the image's layers: %w", err)
	}
	src := stereoscopesource.New(content, stereoscopesource.ImageConfig{Reference: ref})
	defer func() { err = errors.Join(err, src.Close()) }()
	list, err = syft.CreateSBOM(ctx, src, catalogers())
	if err != nil {
		return nil, fmt.Errorf("list the image's packages: %w", err)
	}
	if list == nil {
		return nil, failure.New(failure.Internal, "the image's packages could not be listed")
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
	return cfg
}
