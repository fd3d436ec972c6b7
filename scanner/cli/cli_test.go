package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run calls the command line as main does.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := New()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestDatabaseByHand(t *testing.T) {
	dir, db := t.TempDir(), t.TempDir()
	if out, err := run(t, "db", "build-sample", dir); err != nil || !strings.Contains(out, "SAMPLE") {
		t.Fatalf("%s %v", out, err)
	}
	if _, err := run(t, "db", "status", "--db-dir", db); err == nil {
		t.Error("there is a database before one is imported")
	}
	if out, err := run(t, "db", "import", dir+"/vulnerability.db", "--db-dir", db); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	out, err := run(t, "db", "status", "--db-dir", db)
	var st struct {
		Kind    string `json:"kind"`
		BuiltAt string `json:"built_at"`
	}
	if err != nil || json.Unmarshal([]byte(out), &st) != nil || st.Kind != "sample" || st.BuiltAt == "" {
		t.Errorf("%s %v", out, err)
	}
}

// What a download leaves in the directory of temporary files is the worker's to
// clear.
func TestTemporaryFilesAreBelowTheCache(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	cache, err := os.MkdirTemp("", "cache-")
	if err != nil {
		t.Fatal(err)
	}
	// The worker does not wait for its database, which may still be installed.
	t.Cleanup(func() { _ = os.RemoveAll(cache) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := New()
	cmd.SetArgs([]string{"serve", "--db-sample", "--listen", "127.0.0.1:0", "--cache-dir", cache})
	if err := cmd.ExecuteContext(ctx); err != nil {
		t.Fatal(err)
	}
	if got := os.TempDir(); got != filepath.Join(cache, "tmp") {
		t.Errorf("temporary files are in %s", got)
	}
}

func TestFlagsThatAreWrong(t *testing.T) {
	for _, args := range [][]string{
		{"serve", "--workers", "0"},
		{"serve", "--memory-limit", "much"},
		{"serve", "--stall-timeout", "0s"},
		{"serve", "--log-level", "loud"},
		{"serve", "--log-format", "xml"},
		{"serve", "--listen", "nowhere"},
		{"serve", "--listen", "fd://2"},
		{"serve", "--listen", "fd://x"},
		{"serve", "--listen", "fd://987"},
		{"serve", "--db-sample", "--db-import", "x"},
		{"serve", "--token-hosts", "auth.example.com"},
	} {
		args = append(args, "--cache-dir", t.TempDir())
		if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), args[1]) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestBytes(t *testing.T) {
	for in, want := range map[string]string{"2GiB": "2.0 GiB", "512MiB": "512 MiB", "1000": "1000 B"} {
		var v size
		if err := v.Set(in); err != nil || v.String() != want {
			t.Errorf("%s: %s %v", in, v.String(), err)
		}
	}
	var v size
	if v.Set("-1") == nil || v.Set("99999999PiB") == nil {
		t.Error("nonsense is accepted")
	}
}
