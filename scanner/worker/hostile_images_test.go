package worker_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// tarOf writes entries with all their peculiarities. Regular files have content.
func tarOf(t *testing.T, entries ...tarEntry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := e.Header
		h.Mode, h.Size = 0o755, int64(len(e.content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

type tarEntry struct {
	tar.Header
	content []byte
}

func file(name string, content []byte) tarEntry {
	return tarEntry{tar.Header{Name: name, Typeflag: tar.TypeReg}, content}
}

func link(name, target string, kind byte) tarEntry {
	return tarEntry{Header: tar.Header{Name: name, Linkname: target, Typeflag: kind}}
}

// escapes is a layer that tries to write to, and to read from, the machine that
// scans it. canary is a directory of that machine.
func escapes(t *testing.T, canary string, program []byte) v1.Layer {
	t.Helper()
	up := strings.Repeat("../", 30)
	evil := []byte("evil")
	return static.NewLayer(tarOf(t,
		file("app", program),
		file(up+canary[1:]+"/relative", evil),
		file(canary+"/absolute", evil),
		file("/"+up+canary[1:]+"/both", evil),
		link("dir", canary, tar.TypeSymlink),
		file("dir/through-symlink", evil),
		link("updir", up+canary[1:], tar.TypeSymlink),
		file("updir/through-relative-symlink", evil),
		file("etc/passwd", evil), // links to it mean this one
		link(canary[1:]+"/hardlink", "/etc/passwd", tar.TypeLink),
		link("hard", up+"etc/passwd", tar.TypeLink),
		// What the machine itself has must not turn up in the report.
		link("etc/os-release", "/etc/os-release", tar.TypeSymlink),
		link("usr/lib/os-release", up+"usr/lib/os-release", tar.TypeSymlink),
		link("var/lib/dpkg/status", "/var/lib/dpkg/status", tar.TypeSymlink),
		link("var/lib/dpkg/status.d", up+"var/lib/dpkg", tar.TypeSymlink),
		link("loop", "loop", tar.TypeSymlink),
		link("a/b", "../a/b/c", tar.TypeSymlink),
		tarEntry{Header: tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock, Devmajor: 8}},
		tarEntry{Header: tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}},
	), types.DockerUncompressedLayer)
}

// manyFiles is a layer of n empty files, whose headers are written by hand: a
// tar writer would take longer than the scan.
func manyFiles(t *testing.T, n int) v1.Layer {
	t.Helper()
	const digits, at = 9, len("d0000/f")
	block := tarOf(t, file("d0000/f"+strings.Repeat("0", digits), nil))[:512]
	sum := 0
	copy(block[148:156], "        ")
	for _, b := range block {
		sum += int(b)
	}
	var out bytes.Buffer
	zw, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	content := sha256.New()
	w := io.MultiWriter(zw, content)
	for i := range n {
		s := sum
		for d, rest := at+digits-1, i; d >= at; d, rest = d-1, rest/10 {
			block[d] = byte('0' + rest%10)
			s += rest % 10
		}
		dir := i / 1000 % 10000
		for d := 4; d >= 1; d, dir = d-1, dir/10 {
			block[d] = byte('0' + dir%10)
			s += dir % 10
		}
		copy(block[148:], fmt.Sprintf("%06o\x00 ", s))
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return packedLayer(out.Bytes(), types.OCILayerZStd, content.Sum(nil))
}

// zstdBomb is a layer with one file of size bytes, put together from equal
// frames. What it unpacks to is known for those of some GiB only.
func zstdBomb(t *testing.T, head tarEntry, fill byte, size int64) v1.Layer {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var h bytes.Buffer
	tw := tar.NewWriter(&h)
	head.Mode, head.Size = 0o644, size
	if err := tw.WriteHeader(&head.Header); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte{fill}, 8<<20)
	first := bytes.Clone(content)
	copy(first, head.content)
	bomb := enc.EncodeAll(h.Bytes(), nil)
	bomb = enc.EncodeAll(first, bomb)
	frame := enc.EncodeAll(content, nil)
	more := int(size/int64(len(content))) - 1
	bomb = append(bomb, bytes.Repeat(frame, more)...)
	sum, end := sha256.New(), make([]byte, 1024)
	if size < 4<<30 {
		_, _ = sum.Write(append(h.Bytes(), first...))
		for range more {
			_, _ = sum.Write(content)
		}
		_, _ = sum.Write(end)
	}
	return packedLayer(enc.EncodeAll(end, bomb), types.OCILayerZStd, sum.Sum(nil))
}

// nestedArchives is a Java archive that holds archives that hold archives, each
// of them with a file of zeros.
func nestedArchives(t *testing.T, depth int, size int64) []byte {
	t.Helper()
	var inner []byte
	for range depth {
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		add := func(name string, content io.Reader) {
			f, err := w.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(f, content); err != nil {
				t.Fatal(err)
			}
		}
		add("META-INF/MANIFEST.MF", strings.NewReader("Manifest-Version: 1.0\nImplementation-Title: bomb\nImplementation-Version: 1\n"))
		add("zeros", io.LimitReader(zeros{}, size))
		for n := range 4 {
			if inner != nil {
				add(fmt.Sprintf("lib/inner%d.jar", n), bytes.NewReader(inner))
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		inner = buf.Bytes()
	}
	return inner
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// hugeProgram builds a Go program that depends on a vulnerable module and holds
// size bytes of noise.
func hugeProgram(t *testing.T, size int64) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{"go.mod", "go.sum"} {
		if err := os.WriteFile(filepath.Join(dir, f), read(t, filepath.Join("testdata", "vulnerable", f)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source := `package main

import (
	_ "embed"
	"fmt"

	"golang.org/x/text/language"
)

//go:embed noise
var noise string

func main() { fmt.Println(language.ParseAcceptLanguage("en"))
	for _, b := range noise { fmt.Print(b) } }
`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	noise, err := os.Create(filepath.Join(dir, "noise"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 8<<20)
	for i := 0; i < len(block); i += 8 {
		binary.LittleEndian.PutUint64(block[i:], uint64(i)*0x9e3779b97f4a7c15)
	}
	for written := int64(0); written < size; written += int64(len(block)) {
		if _, err := noise.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := noise.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := compile(dir, "huge", ".")
	if err != nil {
		t.Fatal(err)
	}
	return read(t, out)
}

// chart is a Helm chart as `helm push` writes it.
func chart(t *testing.T) v1.Image {
	t.Helper()
	content := gzipped(t, tarOf(t, file("chart/Chart.yaml", []byte("apiVersion: v2\nname: chart\nversion: 1.0.0\n"))))
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		static.NewLayer(content, "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
	if err != nil {
		t.Fatal(err)
	}
	return mutate.ConfigMediaType(img, "application/vnd.cncf.helm.config.v1+json")
}

// raw is a manifest as it is, well formed or not.
type raw struct {
	body []byte
	kind types.MediaType
}

// pushRaw uploads a manifest without looking at it, and the blobs it may name.
func pushRaw(t *testing.T, reg *testRegistry, repository string, m raw, blobs ...v1.Layer) string {
	t.Helper()
	repo, err := name.NewRepository(reg.host() + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	auth := remote.WithAuth(&authn.Basic{Username: user, Password: password})
	for _, b := range blobs {
		if err := remote.WriteLayer(repo, b, auth); err != nil {
			t.Fatal(err)
		}
	}
	h, _, err := v1.SHA256(bytes.NewReader(m.body))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, reg.URL+"/v2/"+repository+"/manifests/"+h.String(), bytes.NewReader(m.body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", string(m.kind))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("upload of a manifest: %s", resp.Status)
	}
	return h.String()
}

// altered changes the manifest of an image, and uploads it with its blobs.
func altered(t *testing.T, reg *testRegistry, repository string, img v1.Image, change func(*v1.Manifest), blobs ...v1.Layer) string {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m = m.DeepCopy()
	change(m)
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	blobs = append(append(blobs, layers...), static.NewLayer(config, types.DockerConfigJSON))
	return pushRaw(t, reg, repository, raw{body, m.MediaType}, blobs...)
}
