package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/version"
)

// The provider goes by the exit code: what is no use to start again ends with 2, and
// with one line that says why.
func TestExitCodes(t *testing.T) {
	cache, broken := t.TempDir(), filepath.Join(t.TempDir(), "broken.db")
	if err := os.WriteFile(broken, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("GOMEMLIMIT", "off")
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"serve", "--cache-dir", cache, "--workers", "0"}, setupCode, "--workers"},
		{[]string{"serve", "--cache-dir", cache, "--listen", "127.0.0.1:0", "--spare-process=false", "--log-level", "error", "--db-import", broken}, setupCode, "vulnerability database: "},
		{[]string{"nonsense"}, setupCode, "unknown command"},
		{[]string{"db", "status", "--db-dir", cache}, setupCode, "there is no vulnerability database in " + cache},
		{[]string{"health", "--listen", "unix://" + cache + "/none"}, failedCode, "no worker answers"},
	} {
		var out, errs bytes.Buffer
		code := Main(tc.args, &out, &errs)
		if code != tc.code || !strings.HasPrefix(errs.String(), "scanner: ") || strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), tc.says) {
			t.Errorf("%v: exit code %d, %s", tc.args, code, errs.String())
		}
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		var out, errs bytes.Buffer
		if code := Main(args, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "scanner "+version.Number+" (go1.") || errs.Len() != 0 {
			t.Errorf("%v: exit code %d, %s%s", args, code, &out, &errs)
		}
	}
}

// Ctrl-C ends a command whatever it does, with one line.
func TestInterrupted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "slow.db")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGINT) })
	var out, errs bytes.Buffer
	began := time.Now()
	code := Main([]string{"db", "import", pipe, "--db-dir", t.TempDir()}, &out, &errs) // nobody writes into it
	if code != interruptedCode || errs.String() != "scanner: interrupted\n" || time.Since(began) > 5*time.Second {
		t.Errorf("exit code %d after %s: %q", code, time.Since(began), errs.String())
	}
	// Let go of what still reads.
	if w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		_ = w.Close()
	}
}

// What is imported is found by the worker that the provider of the same user starts.
func TestTheFolderIsTheProviders(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/cache")
	if got := defaultCacheDir(); got != "/cache/imagegate/scanner" {
		t.Error(got)
	}
	t.Setenv("IMAGEGATE_DATA_DIR", "/data")
	if got := defaultCacheDir(); got != "/data/scanner" {
		t.Error(got)
	}
}
