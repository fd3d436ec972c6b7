package worker_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/worker"
)

// expect scans and compares code and a part of the message; afterwards nothing
// may be left on disk, and the worker must serve the next request.
func (w *testWorker) expect(t *testing.T, req harbor.ScanRequest, code, part string) {
	t.Helper()
	e := w.failed(t, req)
	if e.Code != code || !strings.Contains(e.Message, part) {
		t.Errorf("got %s: %q, want %s: ...%s...", e.Code, e.Message, code, part)
	}
	if strings.Contains(e.Message, password) {
		t.Errorf("the message tells the password: %q", e.Message)
	}
	w.scratchIsEmpty(t)
}

func TestRefusals(t *testing.T) {
	reg := startRegistry(t)
	chart := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.cncf.helm.config.v1+json")
	chartDigest := push(t, reg, "team/chart", chart)
	strange, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("x"), "application/vnd.example.layer"))
	if err != nil {
		t.Fatal(err)
	}
	strangeDigest := push(t, reg, "team/strange", strange)
	appDigest := push(t, reg, "team/app", image(t, layer(t, map[string][]byte{"a": []byte("a")})))
	w := startWorker(t, nil)

	wrong := request(reg, "team/app", appDigest)
	wrong.Registry.Authorization = basic(user, "not it")
	anonymous := request(reg, "team/app", appDigest)
	anonymous.Registry.Authorization = ""
	gone := request(reg, "team/app", appDigest)
	gone.Registry.URL = "http://127.0.0.1:1"
	for name, c := range map[string]struct {
		req        harbor.ScanRequest
		code, part string
	}{
		"wrong password":     {wrong, "unauthorized", "does not let these credentials"},
		"no credentials":     {anonymous, "unauthorized", "does not let these credentials"},
		"unknown digest":     {request(reg, "team/app", digestOf('a')), "not_found", "the registry has no"},
		"unknown repository": {request(reg, "team/none", digestOf('a')), "not_found", "the registry has no"},
		"Helm chart":         {request(reg, "team/chart", chartDigest), "unsupported", "not a container image"},
		"strange layer":      {request(reg, "team/strange", strangeDigest), "unsupported", "not a container image"},
		"registry down":      {gone, "registry", "could not be reached"},
	} {
		t.Run(name, func(t *testing.T) { w.expect(t, c.req, c.code, c.part) })
	}
}

// TestOneSentenceForARegistryThatCannotBeReached whatever is in the way: the
// provider passes it on to the Pod's author, who chose whom to ask.
func TestOneSentenceForARegistryThatCannotBeReached(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", image(t, layer(t, map[string][]byte{"a": []byte("a")})))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	foreign := httptest.NewUnstartedServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	foreign.StartTLS()
	t.Cleanup(foreign.Close)
	resets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}))
	t.Cleanup(resets.Close)
	w := startWorker(t, nil)
	for what, url := range map[string]string{
		"closed port": closed.URL, "unknown name": "https://name.invalid", "unknown CA": foreign.URL,
		"not TLS": strings.Replace(resets.URL, "http:", "https:", 1), "reset": resets.URL,
	} {
		req := request(reg, "team/app", digest)
		req.Registry.URL = url
		if e := w.failed(t, req); e.Code != "registry" || e.Message != "the registry could not be reached for team/app@"+digest {
			t.Errorf("%s: %s %q", what, e.Code, e.Message)
		}
	}
}

// A broken blob is served by a registry that does not keep its word.
func TestBrokenLayers(t *testing.T) {
	reg := startRegistry(t)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return os.Open(writeTar(t, 1<<20))
	})
	if err != nil {
		t.Fatal(err)
	}
	img := image(t, l)
	digest := push(t, reg, "team/app", img)
	compressed := readLayer(t, img)
	w := startWorker(t, nil)

	serve := func(content []byte, claim int) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, layerDigest(t, img)) {
				return false
			}
			rw.Header().Set("Content-Length", strconv.Itoa(claim))
			_, _ = rw.Write(content)
			return true
		}
	}
	flipped := append([]byte{}, compressed...)
	flipped[len(flipped)/2] ^= 0xff
	for name, c := range map[string]struct {
		answer     func(http.ResponseWriter, *http.Request) bool
		code, part string
	}{
		"cut off in transfer": {serve(compressed[:len(compressed)/2], len(compressed)), "registry", "broke off"},
		"shorter":             {serve(compressed[:len(compressed)/2], len(compressed)/2), "invalid", "is broken"},
		"changed":             {serve(flipped, len(flipped)), "invalid", "is broken"},
	} {
		t.Run(name, func(t *testing.T) {
			reg.onBlob(c.answer)
			w.expect(t, request(reg, "team/app", digest), c.code, c.part)
		})
	}
	reg.onBlob(nil)
	w.report(t, request(reg, "team/app", digest))
}

// A registry that stops in the middle of a layer gives the worker's place free
// long before the scan's time is over.
func TestRegistryThatStalls(t *testing.T) {
	reg := startRegistry(t)
	img := image(t, layer(t, map[string][]byte{"a": make([]byte, 1<<20)}))
	digest := push(t, reg, "team/app", img)
	content := readLayer(t, img)
	reg.onBlob(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, layerDigest(t, img)) {
			return false
		}
		rw.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = rw.Write(content[:len(content)/2])
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	w := startWorker(t, func(c *worker.Config) { c.Limits.Stall = 500 * time.Millisecond })
	w.expect(t, request(reg, "team/app", digest), "registry", "stopped sending")
	reg.onBlob(nil)
	w.report(t, request(reg, "team/app", digest))
}

// What is too large to be unpacked while packages are listed is no hole in the
// list: the layer fits, the archive in its archive does not.
func TestFileLimitInsideAnArchive(t *testing.T) {
	reg := startRegistry(t)
	inner := zipOf(t, "big", make([]byte, 4<<20), zip.Store)
	outer := zipOf(t, "lib/inner.jar", inner, zip.Deflate)
	digest := push(t, reg, "team/jar", image(t, layer(t, map[string][]byte{"app.jar": outer})))
	w := startWorker(t, func(c *worker.Config) { c.Limits.File = 1 << 20 })
	w.expect(t, request(reg, "team/jar", digest), "too_large", "larger than")
}

func zipOf(t *testing.T, name string, content []byte, method uint16) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A few MiB that unpack to gigabytes end within the disk limit.
func TestLayerBomb(t *testing.T) {
	const limit = 64 << 20
	reg := startRegistry(t)
	bomb := bombLayer(t, 4<<30)
	digest := push(t, reg, "team/bomb", image(t, bomb))
	small := push(t, reg, "team/small", image(t, layer(t, map[string][]byte{"a": []byte("a")})))
	w := startWorker(t, func(c *worker.Config) { c.Limits.Disk, c.Limits.File = limit, 4<<30 })
	used := watchDisk(t, filepath.Join(w.cache, "scratch"))
	w.expect(t, request(reg, "team/bomb", digest), "too_large", "limit on disk space")
	if most := used(); most > 2*limit {
		t.Errorf("the bomb took %d MiB of disk, twice the limit is %d", most>>20, 2*limit>>20)
	}
	w.report(t, request(reg, "team/small", small))
}

// The same with one file on disk larger than a file may be.
func TestFileLimit(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/bomb", image(t, bombLayer(t, 256<<20)))
	w := startWorker(t, func(c *worker.Config) { c.Limits.File = 32 << 20 })
	w.expect(t, request(reg, "team/bomb", digest), "too_large", "larger than")
}

func TestTimeoutKillsTheChild(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", image(t, layer(t, map[string][]byte{"a": []byte("a")})))
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	reg.onBlob(func(_ http.ResponseWriter, r *http.Request) bool {
		select { // a registry that never answers
		case <-released:
		case <-r.Context().Done():
		}
		return true
	})
	w := startWorker(t, func(c *worker.Config) { c.Limits.Timeout = 1500 * time.Millisecond })
	w.expect(t, request(reg, "team/app", digest), "timeout", "took longer than 1.5s")
}

// bombLayer is a layer with one file of zeros. Its gzip file is put together from
// equal members, so that making it takes no time; size is a multiple of a MiB.
func bombLayer(t *testing.T, size int64) v1.Layer {
	t.Helper()
	var head bytes.Buffer
	tw := tar.NewWriter(&head)
	if err := tw.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	bomb := gzipped(t, head.Bytes())
	bomb = append(bomb, bytes.Repeat(gzipped(t, block), int(size>>20))...)
	bomb = append(bomb, gzipped(t, block[:1024])...) // the end of a tar file
	return static.NewLayer(bomb, types.DockerLayer)
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
