package worker_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/imagegate/imagegate/scanner/imagescan"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// childVariable makes this test binary the child process of a scan, so that the
// race detector sees one.
const childVariable = "IMAGEGATE_TEST_CHILD"

// programs is where built programs go.
var programs string

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := sandbox.Serve(context.Background(), os.Stdin, os.Stdout, new(imagescan.Scanner).Scan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scanner-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of no use any more
	programs = dir
	return m.Run()
}

var (
	shipped  = sync.OnceValues(func() (string, error) { return compile("..", "scanner", ".") })
	grypeCLI = sync.OnceValues(func() (string, error) { return compile("..", "grype", "github.com/anchore/grype/cmd/grype") })
)

// shippedBinary is the scanner as it is shipped, without the race detector:
// children are then as fast and as small as they really are.
func shippedBinary(t *testing.T) string {
	t.Helper()
	return built(t, shipped)
}

// grypeBinary is Grype's own command line, of the version this module uses.
func grypeBinary(t *testing.T) string {
	t.Helper()
	return built(t, grypeCLI)
}

func built(t *testing.T, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// compile builds a package once for all tests, with the flags of the Makefile so
// that they share the build cache.
func compile(dir, name, pkg string, flags ...string) (string, error) {
	out := filepath.Join(programs, name)
	args := append([]string{"build", "-trimpath", "-gcflags=all=-dwarf=false", "-o", out}, flags...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}
