package images_test

import (
	"archive/tar"
	"context"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/images"
	"github.com/imagegate/imagegate/e2e/registry"
)

var release = images.Release{Version: "1.2.3", Revision: "c0ffee", Created: time.Unix(1_700_000_000, 0)}

// mutator is made once for all tests: it is the smallest.
var mutator = sync.OnceValues(func() (*images.Item, error) {
	root, err := build.Root()
	if err != nil {
		return nil, err
	}
	return makeMutator(context.Background(), root)
})

func makeMutator(ctx context.Context, root string) (*images.Item, error) {
	items, err := release.Build(ctx, root, filepath.Join(root, ".cache", "images-test"), []string{"mutator"}, []string{"linux/amd64"}, io.Discard)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

func theMutator(t *testing.T) *images.Item {
	t.Helper()
	item, err := mutator()
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// single is the image of an index that has one.
func single(t *testing.T, index v1.ImageIndex) v1.Image {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 1 || m.Manifests[0].Platform.String() != "linux/amd64" {
		t.Fatalf("the index has %+v", m.Manifests)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestTwoFoldersMakeOneDigest(t *testing.T) {
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "another", "folder")
	for _, name := range []string{"provider", "mutator"} {
		if err := os.CopyFS(filepath.Join(elsewhere, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "LICENSE"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(elsewhere, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOAMD64", "v3") // somebody's own taste is not followed
	other, err := makeMutator(t.Context(), elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	want, err := images.Digests([]*images.Item{theMutator(t)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := images.Digests([]*images.Item{other})
	if err != nil {
		t.Fatal(err)
	}
	if got["mutator"] != want["mutator"] {
		t.Errorf("built in %s: %s\nbuilt in %s: %s", root, want["mutator"], elsewhere, got["mutator"])
	}
	for i := range other.Attached {
		a, errA := other.Attached[i].Digest()
		b, errB := theMutator(t).Attached[i].Digest()
		if err := errors.Join(errA, errB); err != nil || a != b {
			t.Errorf("the SBOMs differ: %s and %s, %v", a, b, err)
		}
	}
	t.Logf("mutator %s, %.1f MiB", got["mutator"], float64(other.Bytes)/(1<<20))
}

func TestAnImageHasWhatARestrictedPodNeeds(t *testing.T) {
	img := single(t, theMutator(t).Index)
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if c.User != "65532:65532" || config.Architecture != "amd64" || config.OS != "linux" || c.Entrypoint[0] != "/usr/local/bin/mutator" || c.Env[0] != "PATH=/usr/local/bin" {
		t.Errorf("configuration: %+v", config)
	}
	for label, want := range map[string]string{
		"version": "1.2.3", "revision": "c0ffee", "title": "imagegate-mutator", "licenses": "Apache-2.0", "created": "2023-11-14T22:13:20Z",
	} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	files := unpack(t, img)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(files["etc/ssl/certs/ca-certificates.crt"])) {
		t.Error("there is no certificate authority")
	}
	if n := strings.Count(files["etc/ssl/certs/ca-certificates.crt"], "BEGIN CERTIFICATE"); n < 100 {
		t.Errorf("there are %d certificate authorities only", n)
	}
	if !strings.Contains(files["etc/passwd"], "imagegate:x:65532:65532:") || !strings.Contains(files["etc/group"], "imagegate:x:65532:") {
		t.Errorf("passwd %q, group %q", files["etc/passwd"], files["etc/group"])
	}
	if len(files) != 5 {
		t.Errorf("there are %d files, want authorities, passwd, group, licence and program", len(files))
	}
}

// unpack returns the files of an image, and complains of those that somebody
// could write.
func unpack(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	content := mutate.Extract(img)
	defer func() { _ = content.Close() }()
	files := map[string]string{}
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Mode&0o022 != 0 || !h.ModTime.Equal(release.Created) {
			t.Errorf("%s: owner %d, mode %o, time %s", h.Name, h.Uid, h.Mode, h.ModTime)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(b)
	}
}

func TestTheProgramIsBuiltForItsPlatform(t *testing.T) {
	files := unpack(t, single(t, theMutator(t).Index))
	info, err := buildinfo.Read(strings.NewReader(files["usr/local/bin/mutator"]))
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	if set["GOARCH"] != "amd64" || set["GOOS"] != "linux" || set["CGO_ENABLED"] != "0" || set["-trimpath"] != "true" || set["GOAMD64"] != "v1" {
		t.Errorf("built with %v", set)
	}
}

func TestTheSBOMListsWhatWasLinked(t *testing.T) {
	item := theMutator(t)
	checkSBOM(t, item, item.Attached[0])
}

func checkSBOM(t *testing.T, item *images.Item, attached v1.Image) {
	t.Helper()
	img := single(t, item.Index)
	m, err := attached.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	subject, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if m.ArtifactType != "application/vnd.cyclonedx+json" || m.Subject == nil || m.Subject.Digest != subject || m.Config.MediaType != "application/vnd.oci.empty.v1+json" {
		t.Errorf("manifest: %+v", m)
	}
	layers, err := attached.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var list struct {
		BOMFormat, SpecVersion string
		Components             []struct{ Type, Name, Version, PURL string }
		Dependencies           []struct{ DependsOn []string }
	}
	if err := json.NewDecoder(r).Decode(&list); err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, c := range list.Components {
		listed[c.Name] = c.Version
		if c.Version == "" || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("component %+v", c)
		}
	}
	info, err := buildinfo.Read(strings.NewReader(unpack(t, img)["usr/local/bin/mutator"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range info.Deps {
		if listed[d.Path] != d.Version {
			t.Errorf("%s %s is linked, %q is listed", d.Path, d.Version, listed[d.Path])
		}
	}
	if list.BOMFormat != "CycloneDX" || len(list.Components) != len(info.Deps)+2 || listed["stdlib"] != strings.TrimPrefix(info.GoVersion, "go") || len(list.Dependencies[0].DependsOn) != len(list.Components) {
		t.Errorf("%d components of %d modules, stdlib %q", len(list.Components), len(info.Deps), listed["stdlib"])
	}
}

func TestALayoutIsWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	item := theMutator(t)
	for range 2 { // the second takes the place of the first
		if err := release.Write(dir, "ghcr.io/imagegate", []*images.Item{item}); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	want, err := item.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 2 || m.Manifests[0].Digest != want || m.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" ||
		m.Manifests[0].Annotations["io.containerd.image.name"] != "ghcr.io/imagegate/mutator:1.2.3" || m.Manifests[1].ArtifactType != "application/vnd.cyclonedx+json" {
		t.Errorf("the layout's index has %+v", m.Manifests)
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the layout there is %v, %v", left, err)
	}
}

func TestPushedImagesAreFoundWithTheirSBOM(t *testing.T) {
	reg, err := registry.Start("user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Down)
	item, repository := theMutator(t), reg.Host()+"/acme/imagegate"
	for range 2 { // pushing again changes nothing
		if err := release.Push(t.Context(), repository, []*images.Item{item}, remote.WithAuth(reg.Auth())); err != nil {
			t.Fatal(err)
		}
	}
	tag, err := name.NewTag(repository + "/mutator:1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag, remote.WithAuth(reg.Auth()))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	subject, err := single(t, index).Digest()
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Referrers(tag.Digest(subject.String()), remote.WithAuth(reg.Auth()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := found.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].ArtifactType != "application/vnd.cyclonedx+json" {
		t.Fatalf("referrers: %+v, %v", m, err)
	}
	attached, err := remote.Image(tag.Digest(m.Manifests[0].Digest.String()), remote.WithAuth(reg.Auth()))
	if err != nil {
		t.Fatal(err)
	}
	checkSBOM(t, item, attached)

	reg.SetPassword("changed")
	if err := release.Push(t.Context(), repository, []*images.Item{item}); err == nil || !strings.Contains(err.Error(), "push mutator") {
		t.Errorf("pushed without a password: %v", err)
	}
}

func TestPlatformsThatThereAreNoImagesOf(t *testing.T) {
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range []string{"windows/amd64", "amd64", "linux/arm/v7"} {
		if _, err := release.Build(t.Context(), root, t.TempDir(), []string{"mutator"}, []string{platform}, io.Discard); err == nil || !strings.Contains(err.Error(), platform) {
			t.Errorf("%s: %v", platform, err)
		}
	}
}
