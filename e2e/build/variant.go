package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Change replaces a piece of a source file's text, which must be there once.
type Change struct {
	// File is below the repository's root, or absolute.
	File     string
	Old, New string
}

// Provider builds the provider alone into the bin folder and returns its path.
func Provider(ctx context.Context, root string, progress io.Writer) (string, error) {
	return provider(ctx, root, filepath.Join(root, "bin", "provider"), progress)
}

// Fill builds the program that writes many reports at once into the bin folder and
// returns its path.
func Fill(ctx context.Context, root string, progress io.Writer) (string, error) {
	unlock, err := lock(filepath.Join(root, ".cache", "imagegate.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	t := target{name: "fill", dir: root, pkg: "./provider/store/fill", ldflags: "-s -w"}
	out := filepath.Join(root, "bin", t.name)
	return out, timed(t, progress, func() error { return compile(ctx, t, out) })
}

// Variant builds a provider that differs from the working tree's by changes, which
// the compiler alone sees: no build of the product has a place for them. It is put
// into dir and its path is returned.
func Variant(ctx context.Context, root, dir, name string, changes []Change, progress io.Writer) (string, error) {
	dir = filepath.Join(dir, name)
	replace := map[string]string{}
	for i, c := range changes {
		path := c.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		from := path
		if changed, ok := replace[path]; ok {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", fmt.Errorf("change the provider: %w", err)
		}
		if n := bytes.Count(text, []byte(c.Old)); n != 1 {
			return "", fmt.Errorf("change the provider: %s has %d times %q, want one", path, n, c.Old)
		}
		to := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return "", fmt.Errorf("change the provider: %w", err)
		}
		if err := os.WriteFile(to, bytes.Replace(text, []byte(c.Old), []byte(c.New), 1), 0o600); err != nil {
			return "", fmt.Errorf("change the provider: %w", err)
		}
		replace[path] = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("change the provider: %w", err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", fmt.Errorf("change the provider: %w", err)
	}
	return provider(ctx, root, filepath.Join(dir, "provider"), progress, "-overlay="+file)
}

func provider(ctx context.Context, root, out string, progress io.Writer, flags ...string) (string, error) {
	unlock, err := lock(filepath.Join(root, ".cache", "imagegate.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	t := target{name: "provider", dir: root, pkg: "./provider", ldflags: "-s -w", flags: flags}
	return out, timed(t, progress, func() error { return compile(ctx, t, out) })
}

// GoRoot returns the folder of the Go that builds, with its library's sources.
func GoRoot(ctx context.Context, root string) (string, error) {
	return goCommand(ctx, root, "env", "GOROOT")
}
