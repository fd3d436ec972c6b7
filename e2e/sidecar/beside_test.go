package sidecar_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/process"
	"github.com/imagegate/imagegate/e2e/registry"
)

// A person scans an image on the machine on which a provider serves, with the same
// folder, and with what docker login has kept.
func TestAScanBesideAProviderThatServes(t *testing.T) {
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
	img, err := registry.NewBuilder(root, t.TempDir()).Image(t.Context(), registry.Vulnerable, "amd64", "beside")
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := reg.Push(t.Context(), img, "team/app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	ports, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(p.dir, "data")
	listen := fmt.Sprintf("--listen=127.0.0.1:%d", ports[0])
	p.provider = p.run(t, "provider", p.programs.Provider, "serve", "--data-dir", data, "--scanner-database=sample", listen)
	until(t, 0, "scanner: ok", p.programs.Provider, "health", "--data-dir", data, listen)

	// docker login writes config.json.
	if err := os.Rename(filepath.Join(p.dir, "docker.json"), filepath.Join(p.dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	scan := []string{"scan", "--data-dir", data, "--scanner-database=sample", "--insecure-registries", reg.Host(), pushed.Ref}
	wants := func(code int, texts ...string) {
		t.Helper()
		began := time.Now()
		said, got, err := probe(t.Context(), p.programs.Provider, scan...)
		if err != nil || got != code || time.Since(began) > patience/2 {
			t.Errorf("exit code %d after %s, %v:\n%s", got, time.Since(began), err, said)
		}
		for _, text := range texts {
			if !strings.Contains(said, text) {
				t.Errorf("it does not say %q:\n%s", text, said)
			}
		}
	}
	t.Setenv("DOCKER_CONFIG", p.dir)
	wants(1, "rejected", "CVE-2022-32149", "Warning:", "with the SAMPLE database")
	t.Setenv("DOCKER_CONFIG", filepath.Join(p.dir, "nowhere"))
	wants(2, "scan_failed", "no pull access", "--docker-config")
	if left, err := os.ReadDir(filepath.Join(data, "scanner", "beside")); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}

	// The real database is not to be had here, and the one beside is the sample.
	scan[3] = "--scanner-database=update"
	wants(2, "SAMPLE database, which is used only when it is asked for", "--scanner-database-file")
	if err := p.provider.Dead(); err != nil {
		t.Fatal(err)
	}

	// Ctrl-C waits for nobody, although the cluster would be given five seconds.
	began := time.Now()
	if err := p.provider.Interrupt(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.provider.Exited():
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it ended %s after Ctrl-C", took)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}
