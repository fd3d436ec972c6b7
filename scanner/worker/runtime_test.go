package worker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/imagegate/imagegate/scanner/worker"
)

// openSSH is a package as distroless images list it, which the sample database
// knows as vulnerable (CVE-2024-6387).
func openSSH() []tarEntry {
	return []tarEntry{
		file("etc/os-release", []byte("ID=debian\nVERSION_ID=\"12\"\nNAME=\"Debian GNU/Linux\"\n")),
		file("var/lib/dpkg/status.d/openssh-server", []byte("Package: openssh-server\nArchitecture: amd64\nSource: openssh\nVersion: 1:9.2p1-2\nMaintainer: Debian\nDescription: x\n")),
	}
}

// twoFaced is an archive with the given entries that a reader of gzip takes for a
// compressed archive of something harmless: the first name of the archive is the
// beginning of a gzip stream, whose rest is in that entry's content.
func twoFaced(t *testing.T, harmless []byte, entries ...tarEntry) []byte {
	t.Helper()
	// A gzip header with an extra field that reaches over the tar header's 512
	// bytes. Its bytes are those of a name that holds no NUL before the third.
	var stream bytes.Buffer
	zw := gzip.NewWriter(&stream)
	if _, err := zw.Write(harmless); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	const header = 10
	deflated := stream.Bytes()[header:]
	name := []byte{0x1f, 0x8b, 0x08, 0x04, 'a', 'a', 'a', 'a', 'a', 'a'} // FEXTRA
	extra := 512 - header - 2
	name = append(name, byte(extra), byte(extra>>8))
	evil := tarOf(t, append([]tarEntry{file("x", deflated)}, entries...)...)
	copy(evil[:100], make([]byte, 100))
	copy(evil, name)
	copy(evil[148:156], "        ")
	sum := 0
	for _, b := range evil[:512] {
		sum += int(b)
	}
	copy(evil[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return evil
}

// withDiffIDs says other hashes of the layers' contents in the configuration.
func withDiffIDs(t *testing.T, img v1.Image, change func([]v1.Hash) []v1.Hash) v1.Image {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.RootFS.DiffIDs = change(c.RootFS.DiffIDs)
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

func sumOf(b []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(b))}
}

func findsOpenSSH(t *testing.T, w *testWorker, reg *testRegistry, digest string) bool {
	t.Helper()
	r := w.report(t, request(reg, "team/app", digest))
	for _, v := range r.Vulnerabilities {
		if v.ID == "CVE-2024-6387" {
			return true
		}
	}
	return false
}

// A layer that is a tar with vulnerable packages and at once a gzip stream of a
// harmless tar is what its type says, as for a container runtime.
func TestALayerThatIsTwoThingsAtOnce(t *testing.T) {
	reg := startRegistry(t)
	w := startWorker(t, nil)
	harmless := tarOf(t, file("harmless", []byte("x")))
	both := twoFaced(t, harmless, openSSH()...)
	if zr, err := gzip.NewReader(bytes.NewReader(both)); err != nil {
		t.Fatalf("the layer is no gzip stream: %v", err)
	} else if h, err := tar.NewReader(zr).Next(); err != nil || h.Name != "harmless" {
		t.Fatalf("the gzip stream is not what it is made for: %v %v", h, err)
	}
	plain := image(t, static.NewLayer(both, types.OCIUncompressedLayer))
	if !findsOpenSSH(t, w, reg, push(t, reg, "team/app", plain)) {
		t.Error("the packages of a layer of type ...layer.v1.tar are not found")
	}
	// The same layer, said to be what the gzip stream holds, runs nowhere.
	lies := withDiffIDs(t, plain, func([]v1.Hash) []v1.Hash { return []v1.Hash{sumOf(harmless)} })
	w.expect(t, request(reg, "team/app", push(t, reg, "team/app", lies)), "invalid", "its configuration (diff_ids) says")
	// Of a compressed type, it is the gzip stream with something behind it.
	packedKind := image(t, packedLayer(both, types.OCILayer, mustSum(t, harmless)))
	w.expect(t, request(reg, "team/app", push(t, reg, "team/app", packedKind)), "invalid", "is broken")
}

func mustSum(t *testing.T, b []byte) []byte {
	t.Helper()
	s := sha256.Sum256(b)
	return s[:]
}

// What a layer's type has a runtime do is done, and the outcome compared with the
// configuration; what a runtime does not unpack fails.
func TestLayersAreUnpackedAsRuntimesDo(t *testing.T) {
	reg := startRegistry(t)
	w := startWorker(t, nil)
	archive := tarOf(t, openSSH()...)
	sum := mustSum(t, archive)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	half := len(archive) / 2
	gz, zst := gzipped(t, archive), enc.EncodeAll(archive, nil)
	members := append(gzipped(t, archive[:half]), gzipped(t, archive[half:])...)
	frames := append(enc.EncodeAll(archive[:half], nil), enc.EncodeAll(archive[half:], nil)...)
	skipped := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}, zst...)
	const contradicts = "contradicts itself"
	for _, c := range []struct {
		name    string
		content []byte
		kind    types.MediaType
		code    string // of the failure; none means that the package is found
		part    string
	}{
		{"gzip", gz, types.OCILayer, "", ""},
		{"gzip of several members", members, types.OCILayer, "", ""},
		{"gzip with something behind it", append(bytes.Clone(gz), "behind"...), types.OCILayer, "invalid", "is broken"},
		{"zstd", zst, types.OCILayerZStd, "", ""},
		{"zstd of several frames", frames, types.OCILayerZStd, "", ""},
		{"zstd that begins with a frame to skip", skipped, types.OCILayerZStd, "", ""},
		{"zstd of a type for gzip", zst, types.OCILayer, "", ""},
		{"gzip of a type for zstd", gz, types.OCILayerZStd, "", ""},
		{"an archive of a type for gzip", archive, types.OCILayer, "", ""},
		{"gzip of a type for archives", gz, types.OCIUncompressedLayer, "invalid", contradicts},
		{"zstd of a type for archives", zst, types.OCIUncompressedRestrictedLayer, "invalid", contradicts},
		{"gzip of Docker's type for archives", gz, types.DockerUncompressedLayer, "", ""},
		{"zstd of Docker's type", zst, "application/vnd.docker.image.rootfs.diff.tar.zstd", "", ""},
		{"a foreign layer that the registry has", gz, types.DockerForeignLayer, "", ""},
		{"an encrypted layer", gz, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "unsupported", "its layer 0 is of type"},
		{"squashfs", gz, "application/vnd.sylabs.sif.layer.v1.squashfs", "unsupported", "its layer 0 is of type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			digest := push(t, reg, "team/app", image(t, packedLayer(c.content, c.kind, sum)))
			if c.code != "" {
				w.expect(t, request(reg, "team/app", digest), c.code, c.part)
			} else if !findsOpenSSH(t, w, reg, digest) {
				t.Error("the package is not found")
			}
		})
	}
}

// The configuration says of each layer what it unpacks to. When it does not, or
// says it of more or fewer layers, no runtime unpacks the image.
func TestConfigurationsThatDoNotFitTheLayers(t *testing.T) {
	reg := startRegistry(t)
	w := startWorker(t, nil)
	other := layer(t, map[string][]byte{"f": []byte("x")})
	img := image(t, gzippedLayer(t, tarOf(t, openSSH()...)), other)
	for name, c := range map[string]struct {
		change func([]v1.Hash) []v1.Hash
		part   string
	}{
		"another layer's":    {func(d []v1.Hash) []v1.Hash { return []v1.Hash{d[1], d[1]} }, "its layer 0 unpacks to"},
		"in another order":   {func(d []v1.Hash) []v1.Hash { return []v1.Hash{d[1], d[0]} }, "unpacks to"},
		"one too few":        {func(d []v1.Hash) []v1.Hash { return d[:1] }, "2 layers and its configuration 1"},
		"one too many":       {func(d []v1.Hash) []v1.Hash { return append(slices.Clone(d), d[0]) }, "2 layers and its configuration 3"},
		"none":               {func([]v1.Hash) []v1.Hash { return nil }, "2 layers and its configuration 0"},
		"of the packed form": {func(d []v1.Hash) []v1.Hash { return []v1.Hash{sumOf(gzipped(t, tarOf(t, openSSH()...))), d[1]} }, "its layer 0 unpacks to"},
	} {
		t.Run(name, func(t *testing.T) {
			w.expect(t, request(reg, "team/app", push(t, reg, "team/app", withDiffIDs(t, img, c.change))), "invalid", c.part)
		})
	}
	// A configuration that is not the one of the manifest's digest.
	digest := push(t, reg, "team/app", img)
	raw, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	name, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	reg.onBlob(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, name.String()) {
			return false
		}
		_, _ = rw.Write(bytes.Replace(raw, []byte("linux"), []byte("LINUX"), 1))
		return true
	})
	w.expect(t, request(reg, "team/app", digest), "invalid", "is broken")
}

// Nothing is kept of what did not turn out right, and what is kept of a layer
// counts only where it is read in the same way.
func TestCachesKeepWhatWasVerified(t *testing.T) {
	reg := startRegistry(t)
	w := startWorker(t, nil)
	harmless := tarOf(t, file("harmless", []byte("x")))
	gz := gzipped(t, harmless)
	l := packedLayer(gz, types.OCILayer, mustSum(t, harmless))
	lies := withDiffIDs(t, image(t, l), func([]v1.Hash) []v1.Hash { return []v1.Hash{sumOf(gz)} })
	w.expect(t, request(reg, "team/app", push(t, reg, "team/app", lies)), "invalid", "diff_ids")
	lists, err := filepath.Glob(filepath.Join(w.cache, "sboms", "*", "*"))
	if kept := cachedLayers(t, w); err != nil || len(kept)+len(lists) != 0 {
		t.Errorf("kept: %v %v %v", kept, lists, err)
	}
	if r := w.report(t, request(reg, "team/app", push(t, reg, "team/app", image(t, l, l)))); r.Packages != 0 {
		t.Errorf("a layer twice: %+v", r)
	}
	if kept := cachedLayers(t, w); len(kept) != 1 {
		t.Errorf("kept: %v", kept)
	}
	// The layer is there now, unpacked; as an archive it is another one.
	w.expect(t, request(reg, "team/app", push(t, reg, "team/app", lies)), "invalid", "diff_ids")
	asItIs := image(t, static.NewLayer(gz, types.OCIUncompressedLayer))
	w.expect(t, request(reg, "team/app", push(t, reg, "team/app", asItIs)), "invalid", "is broken")
	// A layer without a byte is an archive without entries.
	if r := w.report(t, request(reg, "team/app", push(t, reg, "team/app", image(t, packedLayer(nil, types.OCILayer, mustSum(t, nil)))))); r.Packages != 0 {
		t.Errorf("an empty layer: %+v", r)
	}
}

// The scanner sees the file system that a runtime makes. Each case is one where
// a reader of the archives finds nothing, or something else.
func TestPackagesAreFoundWhereRuntimesPutThem(t *testing.T) {
	reg := startRegistry(t)
	w := startWorker(t, nil)
	release, status := openSSH()[0], openSSH()[1]
	at := func(e tarEntry, name string) tarEntry { e.Name = name; return e }
	directory := func(name string) tarEntry { return tarEntry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir}} }
	for _, c := range []struct {
		name   string
		layers [][]tarEntry
		found  bool
	}{
		{"a layer without directory entries", [][]tarEntry{{release, status}}, true},
		{"a layer with an entry for the directory", [][]tarEntry{{release, directory("var/lib/dpkg/status.d/"), status}}, true},
		{"a hard link to a file of a lower layer", [][]tarEntry{{release, at(status, "etc/kept")}, {link("var/lib/dpkg/status.d/openssh-server", "etc/kept", tar.TypeLink)}}, true},
		{"behind a link of the same layer", [][]tarEntry{{release, directory("usr/dpkg/"), link("var/lib/dpkg", "../../usr/dpkg", tar.TypeSymlink), status}}, true},
		{"behind a link of a lower layer, with one runtime", [][]tarEntry{{release, directory("usr/dpkg/"), link("var/lib/dpkg", "../../usr/dpkg", tar.TypeSymlink)}, {status}}, true},
		{"in an opaque directory, with one runtime", [][]tarEntry{{release}, {status, file("var/lib/.wh..wh..opq", nil)}}, true},
		{"taken away", [][]tarEntry{{release, status}, {file("var/lib/dpkg/status.d/.wh.openssh-server", nil)}}, false},
		{"taken away and put back", [][]tarEntry{{release, status}, {file("var/lib/dpkg/status.d/.wh.openssh-server", nil), status}}, true},
		{"replaced in the same layer", [][]tarEntry{{release, status, file("var/lib/dpkg/status.d/openssh-server", []byte("Package: x\nVersion: 1\n"))}}, false},
		{"in the place of something harmless in the same layer", [][]tarEntry{{release, file("var/lib/dpkg/status.d/openssh-server", []byte("Package: x\nVersion: 1\n")), status}}, true},
		{"in a directory in place of a file", [][]tarEntry{{release, file("var/lib/dpkg", []byte("x"))}, {directory("var/lib/dpkg"), status}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var layers []v1.Layer
			for _, entries := range c.layers {
				layers = append(layers, gzippedLayer(t, tarOf(t, entries...)))
			}
			if got := findsOpenSSH(t, w, reg, push(t, reg, "team/app", image(t, layers...))); got != c.found {
				t.Errorf("the package is found: %t, want %t", got, c.found)
			}
		})
	}
}

// Types of any length go into no message.
func TestMessagesAreShortWhateverAManifestSays(t *testing.T) {
	reg := startRegistry(t)
	w := startWorker(t, nil)
	long := types.MediaType("application/" + strings.Repeat("x\n", 3<<19))
	img := image(t, layer(t, map[string][]byte{"f": []byte("x")}))
	for name, change := range map[string]func(*v1.Manifest){
		"layer":         func(m *v1.Manifest) { m.Layers[0].MediaType = long },
		"configuration": func(m *v1.Manifest) { m.Config.MediaType = long },
	} {
		e := w.failed(t, request(reg, "team/app", altered(t, reg, "team/app", img, change)))
		if e.Code != "unsupported" || len(e.Message) > 400 || strings.Contains(e.Message, "\n") {
			t.Errorf("%s: %s, %d bytes: %.500q", name, e.Code, len(e.Message), e.Message)
		}
	}
}

// A registry with a certificate authority of its own is scanned when the worker
// is told of it, and is one that cannot be reached otherwise.
func TestRegistryWithItsOwnAuthority(t *testing.T) {
	plain := startRegistry(t)
	secure := httptest.NewTLSServer(plain.Config.Handler)
	t.Cleanup(secure.Close)
	digest := push(t, plain, "team/app", image(t, layer(t, npmFiles())))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(secure), 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(secure.URL, "https://")
	req := request(plain, "team/app", digest)
	req.Registry.URL = secure.URL
	for name, cas := range map[string]map[string]string{
		"its own":            {host: ca},
		"none":               nil,
		"another registry's": {"registry.example.com": ca},
	} {
		w := startWorker(t, func(c *worker.Config) { c.RegistryCAs = cas })
		status, body := w.wait(t, w.start(t, req))
		if name == "its own" {
			if status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
			continue
		}
		if status != http.StatusInternalServerError || !bytes.Contains(body, []byte("could not be reached for team/app")) || bytes.Contains(body, []byte("certificate")) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		var e struct{ Error struct{ Code string } }
		if err := json.Unmarshal(body, &e); err != nil || e.Error.Code != "registry" {
			t.Errorf("%s: %s %v", name, body, err)
		}
	}
}

func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}
