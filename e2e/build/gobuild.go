package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// target is one program to build.
type target struct {
	name    string // file name of the binary
	dir     string // folder whose go.mod decides the versions
	pkg     string // package to build
	ldflags string
	flags   []string // more of them
}

// compile builds t to the file out. Go links only when that file is not up to
// date.
func compile(ctx context.Context, t target, out string, env ...string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	args := append([]string{"build", "-ldflags", t.ldflags, "-o", out}, t.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, t.pkg)...)
	cmd.Dir = t.dir
	// The flags of the Makefile, with which everything else is compiled too. No
	// version control stamp: git refuses a checkout of another user's.
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off",
		"GOFLAGS=-trimpath -buildvcs=false -gcflags=all=-dwarf=false"), env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s in %s: %w\n%s", t.name, t.dir, err, msg)
	}
	return nil
}

// compileOnce is compile for a file that is never looked at again once it is
// there: it appears whole, whatever interrupts the build.
func compileOnce(ctx context.Context, t target, out string) error {
	unfinished := out + ".unfinished"
	if err := compile(ctx, t, unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, out); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	return nil
}

// compileMissing is compileOnce, with progress, for a file that is not there.
func compileMissing(ctx context.Context, t target, out string, progress io.Writer) error {
	if _, err := os.Stat(out); err == nil {
		return nil
	}
	return timed(t, progress, func() error { return compileOnce(ctx, t, out) })
}

// timed says on progress that t is being built and how long it took.
func timed(t target, progress io.Writer, build func() error) error {
	start := time.Now()
	_, _ = fmt.Fprintf(progress, "build  %-24s ...\n", t.name)
	if err := build(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(progress, "build  %-24s %.1f s\n", t.name, time.Since(start).Seconds())
	return nil
}

// module runs `go list -m` in dir and returns the field named by format for a
// module, for example {{.Dir}}. Modules not yet downloaded are downloaded.
func module(ctx context.Context, dir, path, format string) (string, error) {
	out, err := goCommand(ctx, dir, "list", "-m", "-f", format, path)
	if err != nil {
		return "", err
	}
	if out != "" {
		return out, nil
	}
	if _, err := goCommand(ctx, dir, "mod", "download", path); err != nil {
		return "", err
	}
	return goCommand(ctx, dir, "list", "-m", "-f", format, path)
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
		}
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
