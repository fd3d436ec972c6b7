package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// ErrUnavailable is when what is missing here could not be fetched.
var ErrUnavailable = errors.New("it could not be fetched")

// debian unpacks packages of Debian (or of what is made of it) into a folder of
// their own and returns it. Nothing is installed.
func debian(ctx context.Context, root string, progress io.Writer, packages ...string) (string, error) {
	dir := filepath.Join(root, ".cache", "debian", packages[0])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unfinished := dir + ".unfinished"
	err := timed(target{name: "package " + packages[0]}, progress, func() error {
		if err := errors.Join(os.RemoveAll(unfinished), os.MkdirAll(unfinished, 0o750)); err != nil {
			return err
		}
		download := slices.Concat([]string{"apt-get", "-q", "download"}, packages)
		if _, err := in(ctx, unfinished, download...); err != nil {
			// A machine that has never looked has no list of packages.
			if out, err := in(ctx, unfinished, "apt-get", "-q", "update"); err != nil {
				return fmt.Errorf("fetch package %s: %w: %w\n%s", packages[0], ErrUnavailable, err, out)
			}
			if out, err := in(ctx, unfinished, download...); err != nil {
				return fmt.Errorf("fetch package %s: %w: %w\n%s", packages[0], ErrUnavailable, err, out)
			}
		}
		files, err := filepath.Glob(filepath.Join(unfinished, "*.deb"))
		if err != nil {
			return err
		}
		for _, file := range files {
			if out, err := in(ctx, unfinished, "dpkg-deb", "-x", file, "."); err != nil {
				return fmt.Errorf("unpack %s: %w\n%s", filepath.Base(file), err, out)
			}
			if err := os.Remove(file); err != nil {
				return err
			}
		}
		return os.Rename(unfinished, dir)
	})
	return dir, err
}

func in(ctx context.Context, dir string, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

// wrapped is a program of unpacked packages, by way of a script that has it find
// their libraries.
func wrapped(dir, name string) (string, error) {
	script := filepath.Join(dir, "wrapped", name)
	if err := os.MkdirAll(filepath.Dir(script), 0o750); err != nil {
		return "", err
	}
	libraries, err := filepath.Glob(filepath.Join(dir, "*", "*-linux-gnu"))
	if err != nil {
		return "", err
	}
	more, err := filepath.Glob(filepath.Join(dir, "usr", "lib", "*-linux-gnu"))
	if err != nil {
		return "", err
	}
	path := ""
	for _, l := range append(libraries, more...) {
		path += l + ":"
	}
	text := fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH='%s' exec '%s' \"$@\"\n", path, filepath.Join(dir, "usr", "sbin", name))
	return script, os.WriteFile(script, []byte(text), 0o755)
}
