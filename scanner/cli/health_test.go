package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHealthOfAWorkerAtASocket(t *testing.T) {
	t.Setenv("TMPDIR", os.TempDir()) // serve sets it
	t.Setenv("GOMEMLIMIT", "off")    // not this process's to bound
	dir, err := os.MkdirTemp("", "health-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	address := "unix://" + filepath.Join(dir, "scanner.sock")
	if _, err := run(t, "health", "--listen", address); err == nil || !strings.Contains(err.Error(), "(--listen)") {
		t.Errorf("health of no worker: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		cmd := New()
		cmd.SetArgs([]string{"serve", "--db-sample", "--spare-process=false", "--listen", address, "--cache-dir", filepath.Join(dir, "cache")})
		done <- cmd.ExecuteContext(ctx)
	}()
	var last error
	for range 600 {
		if _, last = run(t, "health", "--listen", address); last == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if last != nil {
		t.Fatal(last)
	}
	if out, err := run(t, "health", "--live", "--listen", address); err != nil || out != "ok\n" {
		t.Errorf("%q %v", out, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "scanner.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := run(t, "health", "--listen", "nowhere"); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("%v", err)
	}
}

func TestSizesThatAreToFit(t *testing.T) {
	cmd := serveCommand()
	for _, name := range []string{"memory", "disk", "memory-limit", "file-limit", "disk-limit", "sbom-cache", "layer-cache"} {
		if f := cmd.Flags().Lookup(name); f == nil || f.DefValue != auto {
			t.Errorf("--%s is %v by default", name, f)
		}
	}
	var b size
	if err := b.Set("10Gi"); err != nil || b != 10<<30 { // as Kubernetes writes it
		t.Errorf("%d %v", b, err)
	}
}
