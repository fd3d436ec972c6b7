package worker_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/scanner/harbor"
)

// hostile is one image, or what pretends to be one, and what must become of it.
type hostile struct {
	name   string
	digest string
	// code and part of the message of the failure; no code means a report, which
	// found counts.
	code, part string
	found      int
}

// Limits of the worker in TestHostileImages, tighter than the default ones so
// that the test is short.
const (
	hostileMemory = 1 << 30
	hostileTime   = 2 * time.Minute
)

// Hostile images, made here from real files, are given to the shipped binary
// over its API. Each ends in a clear failure or in a right report, within limits
// of time, memory and disk; afterwards nothing is left and the next image is
// scanned.
func TestHostileImages(t *testing.T) {
	reg := startRegistry(t)
	canary := t.TempDir()
	cases := hostileImages(t, reg, canary)
	good := push(t, reg, "team/good", image(t, layer(t, npmFiles())))
	w := serve(t,
		"--memory-limit", "1GiB", "--disk-limit", "2GiB", "--file-limit", "4GiB", "--scan-timeout", hostileTime.String(), "--layer-cache", "256MiB",
		"--spare-process=false") // its directory would be in the way of scratchIsEmpty
	w.report(t, request(reg, "team/good", good))

	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "case\toutcome\tmessage\tseconds\tpeak MiB")
	scans := 1
	for _, c := range cases {
		start := time.Now()
		status, body := w.wait(t, w.start(t, request(reg, "team/hostile", c.digest)))
		took := time.Since(start)
		scans++
		last := w.lastScan(t, scans)
		outcome, message := c.check(t, status, body)
		_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%.1f\t%d\n", c.name, outcome, message, took.Seconds(), last.PeakMiB)
		// The watch looks every 20 ms, and what grows grows on meanwhile.
		if last.PeakMiB > hostileMemory>>20+256 || took > hostileTime+10*time.Second {
			t.Errorf("%s: took %s and %d MiB", c.name, took, last.PeakMiB)
		}
		w.scratchIsEmpty(t)
		if r := w.report(t, request(reg, "team/good", good)); len(r.Vulnerabilities) != 7 {
			t.Errorf("after %s: %+v", c.name, r.Vulnerabilities)
		}
		scans++
	}
	_ = out.Flush()
	t.Logf("limits: memory 1 GiB, disk 2 GiB, time %s\n%s", hostileTime, table.String())
	if left, err := os.ReadDir(canary); err != nil || len(left) > 0 {
		t.Errorf("written outside: %v %v", left, err)
	}
	w.holdsOnly(t, "db", "layers", "lock", "sboms", "scratch", "tmp")
}

// check compares what came with what must, and puts it into words.
func (c hostile) check(t *testing.T, status int, body []byte) (outcome, message string) {
	t.Helper()
	if status == http.StatusOK {
		var r harbor.Report
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatal(err)
		}
		if c.code != "" || len(r.Vulnerabilities) != c.found || r.Distro != "" {
			t.Errorf("%s: a report of %d packages on %q with %+v, want %s", c.name, r.Packages, r.Distro, r.Vulnerabilities, c.code)
		}
		return "report", fmt.Sprintf("%d findings in %d packages", len(r.Vulnerabilities), r.Packages)
	}
	var e harbor.ErrorResponse
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%s: %d %s", c.name, status, body)
	}
	if e.Error.Code != c.code || !strings.Contains(e.Error.Message, c.part) {
		t.Errorf("%s: %s: %q, want %s with %q", c.name, e.Error.Code, e.Error.Message, c.code, c.part)
	}
	return "failed: " + e.Error.Code, e.Error.Message
}

// holdsOnly checks what is in the worker's directory.
func (w *served) holdsOnly(t *testing.T, names ...string) {
	t.Helper()
	files, err := os.ReadDir(w.cache)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("the worker's directory holds %v", got)
	}
}

func hostileImages(t *testing.T, reg *testRegistry, canary string) []hostile {
	t.Helper()
	const repository = "team/hostile"
	of := func(layers ...v1.Layer) string { return push(t, reg, repository, image(t, layers...)) }
	named := func(path string) tarEntry { return file(path, nil) }
	var all []hostile
	add := func(name, digest, code, part string) { all = append(all, hostile{name, digest, code, part, 0}) }
	report := func(name, digest string, found int) {
		all = append(all, hostile{name: name, digest: digest, found: found})
	}

	bomb := func(kind string, l v1.Layer, unpacked int64) {
		size, err := l.Size()
		if err != nil {
			t.Fatal(err)
		}
		add(fmt.Sprintf("%s bomb, %.1f MiB to %d GiB", kind, float64(size)/(1<<20), unpacked>>30), of(l), "too_large", "2.0 GiB, the limit on disk space")
	}
	bomb("gzip", bombLayer(t, 4<<30), 4<<30)
	bomb("zstd", zstdBomb(t, named("zeros"), 0, 64<<30), 64<<30)
	add("package.json of 1.5 GiB", of(zstdBomb(t, file("app/node_modules/a/package.json", []byte(`{"name":"`)), 'a', 3<<29)), "too_large", "more memory than")
	add("2 million files", of(manyFiles(t, 2_000_000)), "too_large", "more than 1000000 files")
	report("archives in archives in archives", of(layer(t, map[string][]byte{"app.jar": nestedArchives(t, 6, 64<<20)})), 0)
	report("path traversal, symlinks, hardlinks", of(escapes(t, canary, read(t, build(t, "vulnerable")))), 2)
	report("Go program of 200 MB", of(layer(t, map[string][]byte{"huge": hugeProgram(t, 200<<20)})), 2)

	program := gzipped(t, tarOf(t, file("app", bytes.Repeat([]byte("content "), 1<<17))))
	plain := image(t, gzippedLayer(t, tarOf(t, file("app", bytes.Repeat([]byte("content "), 1<<17)))))
	add("truncated gzip layer", of(static.NewLayer(program[:len(program)/2], types.DockerLayer)), "invalid", "is broken")
	add("truncated tar in a whole gzip layer", of(gzippedLayer(t, tarOf(t, file("app", make([]byte, 1<<20)))[:1<<19])), "invalid", "is broken")
	add("layer that is no archive", of(static.NewLayer(bytes.Repeat([]byte("noise"), 1000), types.DockerLayer)), "invalid", "is broken")
	add("hard link to the machine's own file", of(static.NewLayer(tarOf(t, link("passwd", "/etc/passwd", tar.TypeLink)), types.DockerUncompressedLayer)), "invalid", "hard link to a file that is not there")
	add("manifest: wrong size of the layer", altered(t, reg, repository, plain, func(m *v1.Manifest) { m.Layers[0].Size++ }), "invalid", "is broken")
	add("manifest: layer of 1 EiB", altered(t, reg, repository, plain, func(m *v1.Manifest) { m.Layers[0].Size = 1 << 60 }), "too_large", "limit on disk space")
	add("manifest: layer that is not there", altered(t, reg, repository, plain, func(m *v1.Manifest) { m.Layers[0].Digest.Hex = strings.Repeat("a", 64) }), "not_found", "not all of its parts")
	add("manifest: wrong size of the configuration", altered(t, reg, repository, plain, func(m *v1.Manifest) { m.Config.Size-- }), "invalid", "is broken")
	add("manifest: negative size", altered(t, reg, repository, plain, func(m *v1.Manifest) { m.Layers[0].Size = -5 }), "invalid", "negative size")
	add("manifest: 100000 layers", altered(t, reg, repository, plain, func(m *v1.Manifest) {
		for len(m.Layers) < 100_000 {
			m.Layers = append(m.Layers, m.Layers[0])
		}
	}), "too_large", "100000 layers")
	add("manifest that is no JSON", pushRaw(t, reg, repository, raw{[]byte("{"), types.DockerManifestSchema2}), "invalid", "manifest cannot be read")
	all = append(all, selfIndex(t, reg)...)
	add("Helm chart", push(t, reg, repository, chart(t)), "unsupported", "not a container image")
	report("image without layers", of(), 0)
	add("configuration of 50 MB", largeConfig(t, reg, repository, plain), "too_large", "configuration has")
	return all
}

// selfIndex is an index that names a digest under which the registry serves that
// same index. By its own digest it is refused for being an index, by the other
// for not having it.
func selfIndex(t *testing.T, reg *testRegistry) []hostile {
	t.Helper()
	self := digestOf('e')
	body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"size":1,"digest":%q,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		types.OCIImageIndex, types.OCIImageIndex, self)
	own, _, err := v1.SHA256(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	reg.onManifest(func(w http.ResponseWriter, r *http.Request) bool {
		if asked := filepath.Base(r.URL.Path); asked != self && asked != own.String() {
			return false
		}
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		_, _ = w.Write(body)
		return true
	})
	return []hostile{
		{"index that points to itself", own.String(), "unsupported", "index of images", 0},
		{"what it points to: a wrong digest", self, "invalid", "is broken", 0},
	}
}

// largeConfig is an image whose configuration has a label of 50 MB.
func largeConfig(t *testing.T, reg *testRegistry, repository string, img v1.Image) string {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Config.Labels = map[string]string{"large": strings.Repeat("x", 50_000_000)}
	body, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	blob := static.NewLayer(body, types.DockerConfigJSON)
	digest, err := blob.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return altered(t, reg, repository, img, func(m *v1.Manifest) {
		m.Config.Size, m.Config.Digest = int64(len(body)), digest
	}, blob)
}
