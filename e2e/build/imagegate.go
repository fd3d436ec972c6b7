package build

import (
	"context"
	"io"
	"path/filepath"
)

// Programs names imagegate's own binaries, as absolute paths.
type Programs struct {
	Provider, Mutator, Scanner string
}

// Imagegate builds provider, mutator and scanner from the working tree into
// its bin folder. It always builds: Go's cache makes an unchanged one quick.
func Imagegate(ctx context.Context, root string, progress io.Writer) (Programs, error) {
	unlock, err := lock(filepath.Join(root, ".cache", "imagegate.lock"))
	if err != nil {
		return Programs{}, err
	}
	defer unlock()

	bin := filepath.Join(root, "bin")
	p := Programs{
		Provider: filepath.Join(bin, "provider"),
		Mutator:  filepath.Join(bin, "mutator"),
		Scanner:  filepath.Join(bin, "scanner"),
	}
	const small = "-s -w"
	for _, t := range []target{
		{name: "provider", dir: root, pkg: "./provider", ldflags: small},
		{name: "mutator", dir: root, pkg: "./mutator", ldflags: small},
		{name: "scanner", dir: filepath.Join(root, "scanner"), pkg: ".", ldflags: small},
	} {
		if err := timed(t, progress, func() error { return compile(ctx, t, filepath.Join(bin, t.name)) }); err != nil {
			return Programs{}, err
		}
	}
	return p, nil
}

// Sample builds the program of an e2e/testdata module for a Linux image of the
// given architecture and writes it to the file out.
func Sample(ctx context.Context, root, name, arch, out string) error {
	t := target{name: name, dir: filepath.Join(root, "e2e", "testdata", name), pkg: ".", ldflags: "-s -w"}
	return compile(ctx, t, out, "GOOS=linux", "GOARCH="+arch)
}
