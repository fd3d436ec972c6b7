package images_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/imagegate/imagegate/e2e/images"
	"github.com/imagegate/imagegate/e2e/registry"
)

const chartYAML = `apiVersion: v2
name: imagegate
version: 0.0.0 # set when it is packed
appVersion: "0.0.0"
`

const valuesYAML = `# What people read.
mutator:
  image: {registry: ghcr.io, repository: imagegate/mutator, tag: "", digest: ""} # of this release
other:
  repository: acme/mutator-of-others
  digest: ""
`

func chart(t *testing.T, values string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"Chart.yaml": chartYAML, "values.yaml": values, "templates/a.yaml": "{}\n", ".helmignore": "# none\nci/\n*.bak\n",
		"ci/a-values.yaml": "{}", "templates/old.bak": "x",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAChartIsPackedWithTheDigestsOfItsImages(t *testing.T) {
	reg, err := registry.Start("user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Down)
	repository, item := reg.Host()+"/acme", theMutator(t)
	digest, err := item.Digest()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := release.Chart(chart(t, valuesYAML), repository, []*images.Item{item})
	if err != nil {
		t.Fatal(err)
	}
	again, err := release.Chart(chart(t, valuesYAML), repository, []*images.Item{item})
	if err != nil {
		t.Fatal(err)
	}
	one, errOne := packed.Digest()
	two, errTwo := again.Digest()
	if err := errors.Join(errOne, errTwo); err != nil || one != two {
		t.Errorf("packed twice: %s and %s, %v", one, two, err)
	}
	if err := release.Push(t.Context(), repository, []*images.Item{item, packed}, remote.WithAuth(reg.Auth())); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(repository + "/charts/imagegate:1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(tag, remote.WithAuth(reg.Auth()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.Config.MediaType != "application/vnd.cncf.helm.config.v1+json" || m.Layers[0].MediaType != "application/vnd.cncf.helm.chart.content.v1.tar+gzip" {
		t.Errorf("what Helm looks for is not there: %+v", m)
	}
	config, err := img.RawConfigFile()
	if err != nil || !strings.Contains(string(config), `"version":"1.2.3"`) {
		t.Errorf("configuration %s, %v", config, err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	files := untar(t, r)
	if len(files) != 4 || files["imagegate/.helmignore"] == "" || files["imagegate/templates/a.yaml"] == "" {
		t.Errorf("files: %v", files)
	}
	if want := strings.NewReplacer("0.0.0 #", `"1.2.3" #`, `"0.0.0"`, `"1.2.3"`).Replace(chartYAML); files["imagegate/Chart.yaml"] != want {
		t.Errorf("Chart.yaml:\n%s", files["imagegate/Chart.yaml"])
	}
	want := strings.Replace(valuesYAML, `{registry: ghcr.io, repository: imagegate/mutator, tag: "", digest: ""}`,
		`{registry: "`+reg.Host()+`", repository: "acme/mutator", tag: "", digest: "`+digest.String()+`"}`, 1)
	if files["imagegate/values.yaml"] != want {
		t.Errorf("values.yaml:\n%s\nwant:\n%s", files["imagegate/values.yaml"], want)
	}
}

func untar(t *testing.T, from io.Reader) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		files[h.Name] = b.String()
	}
}

func TestAChartThatCannotBePinnedIsNotPacked(t *testing.T) {
	item := theMutator(t)
	for _, tc := range []struct{ values, want string }{
		{"mutator: {image: {repository: imagegate/mutator}}\n", "of mutator"},
		{"mutator: {image: {repository: imagegate/mutator, digest: }}\n", "line 1"},
		{"[]\n", "not a mapping"},
		{"a: [\n", "values.yaml"},
	} {
		if _, err := release.Chart(chart(t, tc.values), "", []*images.Item{item}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.values, err, tc.want)
		}
	}
	if _, err := release.Chart(t.TempDir(), "", nil); err == nil || !strings.Contains(err.Error(), "Chart.yaml") {
		t.Errorf("an empty folder: %v", err)
	}
}
