package sidecar_test

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/imagegate/imagegate/e2e/process"
	"github.com/imagegate/imagegate/e2e/registry"
)

// group makes a control group of that much memory, as a container's is, and
// returns its folder. Without the right to make one the test is left out.
func group(t *testing.T, bytes int64) string {
	t.Helper()
	for _, at := range []struct{ root, limit string }{
		{"/sys/fs/cgroup", "memory.max"},                   // version 2
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, // version 1
	} {
		// A folder above version 1's hierarchies can be made too, and limits nothing.
		if _, err := os.Stat(filepath.Join(at.root, "cgroup.procs")); err != nil {
			continue
		}
		dir := filepath.Join(at.root, fmt.Sprintf("imagegate-e2e-%d", os.Getpid()))
		if os.Mkdir(dir, 0o750) != nil {
			continue
		}
		t.Cleanup(func() {
			for range 100 { // until the last process is gone
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Errorf("the control group %s is still in use", dir)
		})
		file, err := os.OpenFile(filepath.Join(dir, at.limit), os.O_WRONLY, 0) // never made: the kernel has it, or it is no limit
		if err != nil {
			continue
		}
		_, err = file.WriteString(strconv.FormatInt(bytes, 10))
		if err = errors.Join(err, file.Close()); err == nil {
			return dir
		}
	}
	t.Skip("LEFT OUT: no control group with a limit of memory can be made here (that takes root and a cgroup file system that may be written)")
	return ""
}

// manyPackages is an image whose list of packages takes far more memory to read
// than a scan has.
func manyPackages(t *testing.T) v1.Image {
	t.Helper()
	var status bytes.Buffer
	for i := range 500_000 {
		_, _ = fmt.Fprintf(&status, "Package: package-%d\nStatus: install ok installed\nVersion: 1.0.%d\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.com>\n\n", i, i)
	}
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for name, content := range map[string][]byte{
		"etc/os-release":      []byte("ID=debian\nVERSION_ID=12\n"),
		"var/lib/dpkg/status": status.Bytes(),
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// The provider and the worker that it starts share a container's limit. A scan
// that needs more than its share is ended; the kernel, which would end the
// provider with it, has no reason to.
func TestAScanDoesNotTakeTheProviderWithIt(t *testing.T) {
	const mib = 1 << 20
	limit := group(t, 900*mib)
	reg, err := registry.Start("user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Down)
	p := start(t, reg)
	pushed, err := reg.Push(t.Context(), manyPackages(t), "team/large", "v1")
	if err != nil {
		t.Fatal(err)
	}
	ports, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	serve := []string{"serve", "--listen=" + address, "--client-auth=off", "--scanner-database=sample", "--data-dir=" + filepath.Join(p.dir, "data"),
		"--docker-config=" + filepath.Join(p.dir, "docker.json"), "--insecure-registries=" + reg.Host()}
	provider := p.run(t, "provider", "/bin/sh", append([]string{"-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, limit, p.programs.Provider}, serve...)...)
	until(t, 0, "scanner: ok", p.programs.Provider, "health", "--listen="+address, "--data-dir="+filepath.Join(p.dir, "data"))

	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}, // its own making
	}}
	ask := fmt.Sprintf(`{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":[%q]}}`, pushed.Ref)
	var said string
	for end := time.Now().Add(patience); time.Now().Before(end) && !strings.Contains(said, `"scan_failed"`); {
		resp, err := client.Post("https://"+address+"/scan-reports?wait=20s", "application/json", strings.NewReader(ask))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		said = string(body)
	}
	if !strings.Contains(said, `"Status":"scan_failed"`) || !strings.Contains(said, "more memory than") {
		t.Errorf("the large image: %s", said)
	}
	if err := provider.Dead(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
		if b, err := os.ReadFile(filepath.Join(limit, name)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
				t.Logf("of %d MiB the container had %d at most", 900, n/mib)
			}
		}
	}
}
