package build

import (
	"context"
	"io"
	"path/filepath"
)

// Programs names imagegate's own binaries, as absolute paths.
type Programs struct {
	Provider, Mutator, Scanner string
	// Plugin is kubectl's.
	Plugin string
}

// plugin is the file name by which kubectl finds it.
const plugin = "kubectl-imagegate"

// Imagegate builds provider, mutator, scanner and kubectl's plugin from the working tree into
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
		Plugin:   filepath.Join(bin, plugin),
	}
	for _, name := range []string{"provider", "mutator", "scanner", plugin} {
		t := imagegate(root, name)
		if err := timed(t, progress, func() error { return compile(ctx, t, filepath.Join(bin, t.name)) }); err != nil {
			return Programs{}, err
		}
	}
	return p, nil
}

// imagegate is one of its programs. The scanner is a module of its own.
func imagegate(root, name string) target {
	t := target{name: name, dir: root, pkg: "./" + name, ldflags: "-s -w"}
	switch name {
	case "scanner":
		t.dir, t.pkg = filepath.Join(root, name), "."
	case plugin:
		t.pkg = "./provider/" + plugin
	}
	return t
}

// Release builds one of provider, mutator and scanner for Linux on an
// architecture, as it is for images, and writes it to the file out. Settings of
// the environment that would make another binary are not followed.
func Release(ctx context.Context, root, name, arch, out string, progress io.Writer) error {
	unlock, err := lock(filepath.Join(root, ".cache", "imagegate.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	t := imagegate(root, name)
	return timed(target{name: name + " linux/" + arch}, progress, func() error {
		return compile(ctx, t, out, "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off")
	})
}

// Sample builds the program of an e2e/testdata module for a Linux image of the
// given architecture and writes it to the file out.
func Sample(ctx context.Context, root, name, arch, out string) error {
	t := target{name: name, dir: filepath.Join(root, "e2e", "testdata", name), pkg: ".", ldflags: "-s -w"}
	return compile(ctx, t, out, "GOOS=linux", "GOARCH="+arch)
}
