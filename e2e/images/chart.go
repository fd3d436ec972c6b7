package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"sigs.k8s.io/yaml"
)

// What Helm gives a chart in a registry.
const (
	chartConfigType types.MediaType = "application/vnd.cncf.helm.config.v1+json"
	chartLayerType  types.MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// Chart packs the chart in dir as charts/NAME, as Helm would, with the release's
// version and with the digests of items in its values, so that what is installed
// is what was packed. An image of the values is a mapping with digest and
// repository, whose last path element is the item's name; it is to be read from
// repository, unless that is empty. Each item must be in the values.
func (r Release) Chart(dir, repository string, items []*Item) (*Item, error) {
	digests, err := Digests(items)
	if err != nil {
		return nil, err
	}
	files, err := chartFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("pack the chart %s: %w", dir, err)
	}
	chart, values := find(files, "Chart.yaml"), find(files, "values.yaml")
	if chart == nil || values == nil {
		return nil, fmt.Errorf("pack the chart %s: it has no Chart.yaml or no values.yaml", dir)
	}
	if chart.content, err = setAll(chart.content, map[string]string{"version": r.Version, "appVersion": r.Version}); err != nil {
		return nil, fmt.Errorf("pack the chart %s: Chart.yaml: %w", dir, err)
	}
	if values.content, err = pinned(values.content, repository, digests); err != nil {
		return nil, fmt.Errorf("pack the chart %s: values.yaml: %w", dir, err)
	}
	var named struct {
		Name string `json:"name"`
	}
	if err := yaml.Unmarshal(chart.content, &named); err != nil || named.Name == "" {
		return nil, fmt.Errorf("pack the chart %s: Chart.yaml has no name: %w", dir, err)
	}
	archive, err := pack(named.Name, r.created(), files)
	if err != nil {
		return nil, fmt.Errorf("pack the chart %s: %w", dir, err)
	}
	config, err := yaml.YAMLToJSON(chart.content)
	if err != nil {
		return nil, fmt.Errorf("pack the chart %s: Chart.yaml: %w", dir, err)
	}
	annotations := r.labels("provider")
	annotations["org.opencontainers.image.title"] = named.Name
	annotations["org.opencontainers.image.description"] = "Helm chart of imagegate"
	img, err := newArtifact("", static.NewLayer(config, chartConfigType), static.NewLayer(archive, chartLayerType), nil, annotations)
	if err != nil {
		return nil, fmt.Errorf("pack the chart %s: %w", dir, err)
	}
	return &Item{Name: "charts/" + named.Name, Image: img, Bytes: int64(len(archive))}, nil
}

func find(files []file, name string) *file {
	for i := range files {
		if files[i].name == name {
			return &files[i]
		}
	}
	return nil
}

// chartFiles are the files of a chart in the order of their names, without those
// that .helmignore lists.
func chartFiles(dir string) (files []file, err error) {
	ignored, err := ignore(filepath.Join(dir, ".helmignore"))
	if err != nil {
		return nil, err
	}
	root := os.DirFS(dir)
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case ignored(name, d.IsDir()) && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || ignored(name, false):
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is not a regular file", name)
		}
		content, err := fs.ReadFile(root, name)
		files = append(files, file{name: name, content: content})
		return err
	})
	return files, err
}

// ignore reads a .helmignore as far as it is the same as Helm's: patterns of a
// name or a path, with a slash at the end for folders only. What is taken back
// with ! is an error.
func ignore(path string) (func(name string, dir bool) bool, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var patterns []string
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line[0] == '!':
			return nil, fmt.Errorf(".helmignore: %q cannot be followed", line)
		default:
			if _, err := filepath.Match(line, ""); err != nil {
				return nil, fmt.Errorf(".helmignore: %q: %w", line, err)
			}
			patterns = append(patterns, line)
		}
	}
	return func(name string, dir bool) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, name, dir) })
	}, nil
}

func matches(pattern, name string, dir bool) bool {
	pattern, folders := strings.CutSuffix(pattern, "/")
	if folders && !dir {
		return false
	}
	if rooted, ok := strings.CutPrefix(pattern, "/"); ok {
		pattern = rooted
	} else if !strings.Contains(pattern, "/") {
		name = path.Base(name)
	}
	ok, _ := path.Match(pattern, name) // checked when it was read
	return ok
}

// pack makes the archive of a chart: the same files make the same bytes.
func pack(name string, created time.Time, files []file) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(name, f.name), Mode: 0o644, Size: int64(len(f.content)), ModTime: created, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// quoted is text as a YAML scalar: JSON's strings are YAML's too.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // no string is an error
	}
	return string(b)
}
