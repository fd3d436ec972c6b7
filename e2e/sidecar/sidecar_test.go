package sidecar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/process"
	"github.com/imagegate/imagegate/e2e/registry"
)

const patience = 2 * time.Minute

// pod is a provider and a scanner with folders of their own and one in common.
type pod struct {
	dir, config, socket string
	programs            build.Programs
	provider, scanner   *process.Process
}

func start(t *testing.T, reg *registry.Registry) *pod {
	t.Helper()
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	programs, err := build.Imagegate(t.Context(), root, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sidecar-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &pod{dir: dir, programs: programs, socket: filepath.Join(dir, "run", "scanner.sock"), config: filepath.Join(dir, "provider.json")}
	if err := os.MkdirAll(filepath.Dir(p.socket), 0o750); err != nil {
		t.Fatal(err)
	}
	ports, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	docker, err := reg.Auth().Authorization()
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "docker.json", map[string]any{"auths": map[string]any{reg.Host(): map[string]string{"username": docker.Username, "password": docker.Password}}})
	p.write(t, "provider.json", map[string]any{
		"dataDir": filepath.Join(dir, "data"),
		"server":  map[string]any{"listen": fmt.Sprintf("127.0.0.1:%d", ports[0]), "shutdownDelay": "0s"},
		"registry": map[string]any{
			"dockerConfig": filepath.Join(dir, "docker.json"), "insecure": []string{reg.Host()}, "platforms": []string{"linux/amd64"},
		},
		"scan":    map[string]any{"workers": 2},
		"scanner": map[string]any{"bundled": map[string]any{"url": "unix://" + p.socket}},
	})
	return p
}

func (p *pod) write(t *testing.T, name string, content any) {
	t.Helper()
	b, err := json.Marshal(content)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, name), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run starts a program. Its last words are printed when the test fails.
func (p *pod) run(t *testing.T, name, path string, args ...string) *process.Process {
	t.Helper()
	started, err := process.Start(process.Spec{Name: name, Path: path, Args: args, Logs: p.dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		started.Stop(20 * time.Second)
		if t.Failed() {
			t.Logf("%s:\n%s", name, process.Tail(started.Log, 4096))
		}
	})
	return started
}

func (p *pod) startScanner(t *testing.T) {
	t.Helper()
	p.scanner = p.run(t, "scanner", p.programs.Scanner, "serve", "--db-sample", "--workers=2", "--memory=1GiB", "--disk=2GiB",
		"--listen=unix://"+p.socket, "--cache-dir="+filepath.Join(p.dir, "cache"))
}

// probe runs a command as an exec probe does, and returns what it says.
func probe(ctx context.Context, path string, args ...string) (string, int, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), exit.ExitCode(), nil
	}
	return out.String(), 0, err
}

// until asks a probe until it exits with code and says want.
func until(t *testing.T, code int, want, path string, args ...string) {
	t.Helper()
	var said string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var got int
		var err error
		if said, got, err = probe(t.Context(), path, args...); err != nil {
			t.Fatal(err)
		}
		if got == code && strings.Contains(said, want) {
			return
		}
	}
	t.Fatalf("%s %s does not say %q with code %d: %s", filepath.Base(path), strings.Join(args, " "), want, code, said)
}

func TestAScannerBesideTheProvider(t *testing.T) {
	reg, err := registry.Start("user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Down)
	p := start(t, reg)
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	img, err := registry.NewBuilder(root, t.TempDir()).Image(t.Context(), registry.Vulnerable, "amd64", "sidecar")
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := reg.Push(t.Context(), img, "team/app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	healthy := []string{"health", "--config", p.config}

	// The provider comes first: it lives, and says what it waits for.
	p.provider = p.run(t, "provider", p.programs.Provider, "serve", "--config", p.config)
	until(t, 0, "ok", p.programs.Provider, append(healthy, "--live")...)
	until(t, 1, "the scanner at unix://"+p.socket+" cannot be reached", p.programs.Provider, healthy...)

	p.startScanner(t)
	until(t, 0, "ok", p.programs.Scanner, "health", "--listen=unix://"+p.socket)
	until(t, 0, "scanner: ok", p.programs.Provider, healthy...)
	log := process.Tail(p.scanner.Log, 8192)
	if !strings.Contains(log, `"scan_memory_mib":384`) { // half of what is left of a GiB
		t.Errorf("the scanner did not divide its memory:\n%s", log)
	}

	said, code, err := probe(t.Context(), p.programs.Provider, "scan", "-o", "json", "--config", p.config, pushed.Ref)
	if err != nil || code != 1 || !strings.Contains(said, `"Status": "rejected"`) || !strings.Contains(said, "CVE-") {
		t.Fatalf("the scan of a vulnerable image: %d %v\n%s", code, err, said)
	}

	// When its container is killed, as for its memory, the provider lives, and
	// scans again when it is back, at the socket that the dead one left.
	p.scanner.Kill()
	until(t, 1, "cannot be reached", p.programs.Provider, healthy...)
	until(t, 1, "(--listen)", p.programs.Scanner, "health", "--listen=unix://"+p.socket)
	if err := p.provider.Dead(); err != nil {
		t.Fatal(err)
	}
	p.startScanner(t)
	until(t, 0, "scanner: ok", p.programs.Provider, healthy...)
	said, code, err = probe(t.Context(), p.programs.Provider, "scan", "-o", "json", "--config", p.config, pushed.Ref)
	if err != nil || code != 1 || !strings.Contains(said, `"Status": "rejected"`) {
		t.Errorf("after the scanner came back: %d %v\n%s", code, err, said)
	}

	p.provider.Stop(20 * time.Second)
	until(t, 1, "(server.listen)", p.programs.Provider, append(healthy, "--live")...)
}

// A worker that cannot be told to keep within what there is does not start.
func TestAContainerThatIsTooSmallSaysSo(t *testing.T) {
	reg, err := registry.Start("user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Down)
	p := start(t, reg)
	for _, tc := range []struct{ args, want []string }{
		{[]string{"--memory=300MiB"}, []string{"--workers", "--memory", "takes 439 MiB"}},
		{[]string{"--disk=1GiB"}, []string{"--disk", "database"}},
	} {
		args := append([]string{"serve", "--listen=unix://" + p.socket, "--cache-dir=" + filepath.Join(p.dir, "cache")}, tc.args...)
		said, code, err := probe(t.Context(), p.programs.Scanner, args...)
		if err != nil || code == 0 {
			t.Errorf("%v: %d %v", tc.args, code, err)
		}
		for _, want := range tc.want {
			if !strings.Contains(said, want) {
				t.Errorf("%v: %s does not say %q", tc.args, said, want)
			}
		}
	}
}
