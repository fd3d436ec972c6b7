package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
)

// childVariable makes this test binary a child that does what it says.
const childVariable = "IMAGEGATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childVariable); what != "" {
		if err := Serve(context.Background(), os.Stdin, os.Stdout, misbehave(what)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func misbehave(what string) func(context.Context, Request) (*Findings, error) {
	return func(ctx context.Context, req Request) (*Findings, error) {
		switch what {
		case "good":
			if req.SBOM != "" {
				return &Findings{Packages: 2}, nil
			}
			return &Findings{Packages: 1}, os.WriteFile(filepath.Join(req.WorkDir, SBOMFile), []byte("{}"), 0o600)
		case "picky":
			if req.SBOM != "" {
				return nil, fmt.Errorf("read the list: %w", ErrListUnreadable)
			}
			return &Findings{Packages: 1}, os.WriteFile(filepath.Join(req.WorkDir, SBOMFile), []byte("{}"), 0o600)
		case "echo":
			return &Findings{Distro: strings.Join(append(os.Environ(), os.Args...), " ") + req.Authorization}, nil
		case "refuse":
			return nil, failure.New(failure.NotFound, "there is nothing")
		case "eat memory":
			var hold [][]byte
			for {
				b := make([]byte, 16<<20)
				for i := range b {
					b[i] = byte(i)
				}
				hold = append(hold, b)
				if len(hold) > 1<<12 {
					return nil, nil
				}
			}
		case "eat disk":
			for i := 0; ; i++ {
				if err := os.WriteFile(filepath.Join(req.WorkDir, strconv.Itoa(i)), make([]byte, 1<<20), 0o600); err != nil {
					return nil, err
				}
			}
		case "many files":
			for i := 0; ; i++ {
				if err := os.WriteFile(filepath.Join(req.WorkDir, strconv.Itoa(i)), nil, 0o600); err != nil {
					return nil, err
				}
			}
		case "large file":
			return nil, os.WriteFile(filepath.Join(req.WorkDir, "large"), make([]byte, 8<<20), 0o600)
		case "talk":
			return &Findings{Distro: strings.Repeat("x", 4<<20)}, nil
		case "hang":
			// A grandchild must not outlive its scan.
			c := exec.CommandContext(context.WithoutCancel(ctx), "sleep", "1000")
			if err := c.Start(); err != nil {
				return nil, err
			}
			if err := os.WriteFile(os.Getenv("PID_FILE"), []byte(strconv.Itoa(c.Process.Pid)), 0o600); err != nil {
				return nil, err
			}
			if err := os.Mkdir(filepath.Join(req.WorkDir, "closed"), 0o500); err != nil {
				return nil, err
			}
			select {}
		case "panic":
			panic("no idea")
		case "nonsense":
			fmt.Print("hello")
			os.Exit(0)
		}
		return nil, nil
	}
}

func newRunner(t *testing.T, what string) *Runner {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Runner{
		Command: []string{self},
		Env:     []string{childVariable + "=" + what},
		Scratch: t.TempDir(),
		Limits:  Limits{Timeout: time.Minute, Memory: 400 << 20, File: 4 << 20, Disk: 20 << 20, Files: 200, Output: 1 << 20},
		Lists:   lists{},
		Layers:  noLayers{},
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// lists is a cache in memory.
type lists map[string][]byte

func (l lists) Has(digest string) bool { _, ok := l[digest]; return ok }

func (l lists) Get(digest, to string) bool {
	b, ok := l[digest]
	return ok && os.WriteFile(to, b, 0o600) == nil
}

func (l lists) Put(digest, from string) error {
	b, err := os.ReadFile(from)
	l[digest] = b
	return err
}

func (l lists) Drop(digest string) { delete(l, digest) }

type noLayers struct{}

func (noLayers) Dir() string        { return "" }
func (noLayers) Adopt(string) error { return nil }

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("%d private directories are left behind", len(entries))
	}
}

func TestLimits(t *testing.T) {
	for what, want := range map[string]struct {
		code failure.Code
		part string
	}{
		"eat memory": {failure.TooLarge, "more memory"},
		"eat disk":   {failure.TooLarge, "limit on disk space"},
		"many files": {failure.TooLarge, "more than 200 files"},
		"large file": {failure.Internal, "see its log"}, // imagescan gives this error its words
		"talk":       {failure.TooLarge, "result is larger than 1 MiB"},
		"refuse":     {failure.NotFound, "there is nothing"},
		"panic":      {failure.Internal, "panic: no idea"},
		"nonsense":   {failure.Internal, "not a result"},
		"nothing":    {failure.Internal, "neither findings nor a failure"},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRunner(t, what)
			_, err := r.Run(t.Context(), Request{Digest: "sha256:a"})
			f := failure.Of(err)
			if err == nil || f.Code != want.code || !strings.Contains(f.Message, want.part) {
				t.Errorf("got %+v, want %s: ...%s...", f, want.code, want.part)
			}
			empty(t, r.Scratch)
		})
	}
}

func TestKilledWithItsChildren(t *testing.T) {
	for name, end := range map[string]func(*Runner) (context.Context, failure.Code){
		"timeout": func(r *Runner) (context.Context, failure.Code) {
			r.Limits.Timeout = 3 * time.Second
			return t.Context(), failure.Timeout
		},
		"stopped": func(*Runner) (context.Context, failure.Code) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			return ctx, failure.Stopped
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t, "hang")
			pidFile := filepath.Join(t.TempDir(), "pid")
			r.Env = append(r.Env, "PID_FILE="+pidFile)
			ctx, code := end(r)
			_, err := r.Run(ctx, Request{Digest: "sha256:a"})
			if f := failure.Of(err); err == nil || f.Code != code {
				t.Errorf("got %v, want code %s", err, code)
			}
			empty(t, r.Scratch)
			raw, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatalf("the child was killed before it started its own: %v", err)
			}
			pid, err := strconv.Atoi(string(raw))
			if err != nil {
				t.Fatal(err)
			}
			if !gone(pid) {
				t.Errorf("the grandchild %d is still there", pid)
			}
		})
	}
}

// gone waits for a killed process to be gone, or dead and not yet collected.
func gone(pid int) bool {
	for range 200 {
		if syscall.Kill(pid, 0) != nil {
			return true
		}
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func TestPackageListIsKept(t *testing.T) {
	r := newRunner(t, "good")
	for i, want := range []int{1, 2} {
		got, err := r.Run(t.Context(), Request{Digest: "sha256:a"})
		if err != nil || got.Packages != want {
			t.Errorf("scan %d: %+v %v, want %d packages", i, got, err, want)
		}
	}
	empty(t, r.Scratch)
}

// Credentials reach the child on stdin only, and the worker's own environment
// stays with the worker.
func TestWhatAChildSees(t *testing.T) {
	t.Setenv("SOMETHING_SECRET", "of the worker")
	t.Setenv("HTTPS_PROXY", "http://proxy.example")
	r := newRunner(t, "echo")
	r.Limits.Output = 1 << 20
	got, err := r.Run(t.Context(), Request{Digest: "sha256:a", Authorization: "Basic c2VjcmV0"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(got.Distro, "Basic c2VjcmV0") != 1 || !strings.HasSuffix(got.Distro, "Basic c2VjcmV0") {
		t.Errorf("credentials are in arguments or environment: %s", got.Distro)
	}
	if strings.Contains(got.Distro, "SOMETHING_SECRET") || !strings.Contains(got.Distro, "HTTPS_PROXY") {
		t.Errorf("environment of the child: %s", got.Distro)
	}
}

func TestOutcomeOnTheWire(t *testing.T) {
	raw, err := json.Marshal(Outcome{Findings: &Findings{Vulnerabilities: []harbor.Vulnerability{{ID: "CVE-1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var o Outcome
	if err := json.Unmarshal(raw, &o); err != nil || o.Failure != nil || o.Findings.Vulnerabilities[0].ID != "CVE-1" {
		t.Errorf("%+v %v", o, err)
	}
}
