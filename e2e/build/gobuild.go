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
}

// compile builds t to the file out. It writes beside the final name and
// renames, so that an interrupted build leaves nothing that looks finished.
func compile(ctx context.Context, t target, out string, env ...string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	unfinished := out + ".unfinished"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", t.ldflags, "-o", unfinished, t.pkg)
	cmd.Dir = t.dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"), env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s in %s: %w\n%s", t.name, t.dir, err, msg)
	}
	if err := os.Rename(unfinished, out); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	return nil
}

// timed builds t and says on progress how long it took.
func timed(ctx context.Context, t target, out string, progress io.Writer) error {
	start := time.Now()
	_, _ = fmt.Fprintf(progress, "build  %-24s ...\n", t.name)
	if err := compile(ctx, t, out); err != nil {
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
