package registry

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/e2e/build"
)

// Programs that sample images hold, named for their folder in e2e/testdata.
const (
	// Fixed is a Go program without known advisories.
	Fixed = "fixed"
	// Vulnerable is a Go program built with golang.org/x/text v0.3.5.
	Vulnerable = "vulnerable"
)

// Builder makes images of the sample programs.
type Builder struct {
	root string // of the repository
	dir  string // for binaries
}

// NewBuilder returns a builder that compiles programs of the repository at
// root into dir.
func NewBuilder(root, dir string) *Builder { return &Builder{root: root, dir: dir} }

// Image makes a Linux image of the program for an architecture. The label is
// written into the image, so that two labels make two digests.
func (b *Builder) Image(ctx context.Context, program, arch, label string) (v1.Image, error) {
	binary, err := b.Program(ctx, program, arch)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("make image of %s: %w", program, err)
	}
	img, err := Of(arch, map[string][]byte{"greeter": data, "label": []byte(label)}, v1.Config{Entrypoint: []string{"/greeter"}})
	if err != nil {
		return nil, fmt.Errorf("make image of %s: %w", program, err)
	}
	return img, nil
}

// Program builds a sample program for Linux on an architecture, once, and returns the
// path of its file.
func (b *Builder) Program(ctx context.Context, program, arch string) (string, error) {
	binary := filepath.Join(b.dir, program+"-"+arch)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	return binary, build.Sample(ctx, b.root, program, arch, binary)
}

// Of makes a Linux image for an architecture of executable files, in one layer.
func Of(arch string, files map[string][]byte, config v1.Config, options ...tarball.LayerOption) (v1.Image, error) {
	layer, err := pack(files, options...)
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", arch, config
	file.Created = v1.Time{Time: time.Unix(0, 0)}
	return mutate.ConfigFile(img, file)
}

// Index makes a multi-architecture image, one sample program for each
// architecture.
func (b *Builder) Index(ctx context.Context, label string, programs map[string]string) (v1.ImageIndex, error) {
	index := v1.ImageIndex(empty.Index)
	for _, arch := range slices.Sorted(maps.Keys(programs)) {
		img, err := b.Image(ctx, programs[arch], arch, label)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

// pack makes a layer of executable files. The same files make the same digest.
func pack(files map[string][]byte, options ...tarball.LayerOption) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		data := files[path]
		header := &tar.Header{Name: path, Mode: 0o755, Size: int64(len(data)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, options...)
}

// Push stores an image under repository:tag and returns the reference and its
// digest. Pushing to a tag that exists moves it.
func (r *Registry) Push(ctx context.Context, img v1.Image, repository, tag string) (Pushed, error) {
	return r.push(ctx, img, repository, tag, func(ref name.Reference, opts ...remote.Option) error {
		return remote.Write(ref, img, opts...)
	})
}

// PushIndex is Push for a multi-architecture image.
func (r *Registry) PushIndex(ctx context.Context, index v1.ImageIndex, repository, tag string) (Pushed, error) {
	return r.push(ctx, index, repository, tag, func(ref name.Reference, opts ...remote.Option) error {
		return remote.WriteIndex(ref, index, opts...)
	})
}

// Pushed is an image that the registry holds.
type Pushed struct {
	Ref    string // host/repository:tag
	Digest string // sha256:...
	Pinned string // host/repository@sha256:...
}

func (r *Registry) push(
	ctx context.Context, img interface{ Digest() (v1.Hash, error) }, repository, tag string,
	write func(name.Reference, ...remote.Option) error,
) (Pushed, error) {
	repo := r.host + "/" + repository
	ref, err := name.NewTag(repo+":"+tag, name.Insecure)
	if err != nil {
		return Pushed{}, fmt.Errorf("push %s: %w", repo, err)
	}
	if err := write(ref, remote.WithContext(ctx), remote.WithAuth(r.Auth())); err != nil {
		return Pushed{}, fmt.Errorf("push %s: %w", ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return Pushed{}, fmt.Errorf("push %s: %w", ref, err)
	}
	return Pushed{Ref: repo + ":" + tag, Digest: digest.String(), Pinned: repo + "@" + digest.String()}, nil
}

// SlowLayers delays each download of each of the image's layers. Manifests and
// configuration stay quick, so only a scan notices.
func (r *Registry) SlowLayers(img v1.Image, delay time.Duration) error {
	layers, err := img.Layers()
	if err != nil {
		return fmt.Errorf("slow the image's layers: %w", err)
	}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return fmt.Errorf("slow the image's layers: %w", err)
		}
		r.SlowBlob(digest.String(), delay)
	}
	return nil
}

// PushName stores an image that is nothing but its manifest and configuration,
// under repository:tag: a provider opens it like any other, and only who reads its
// layer finds none. It exists for tests of tens of thousands of images. The label
// makes the digest.
func (r *Registry) PushName(ctx context.Context, repository, tag, label string) (Pushed, error) {
	layer := sha256.Sum256([]byte("a layer that nobody reads"))
	config := fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, layer)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1,
		"config":      map[string]any{"mediaType": types.OCIConfigJSON, "digest": digestOf(config), "size": len(config)},
		"layers":      []any{map[string]any{"mediaType": types.OCIUncompressedLayer, "digest": fmt.Sprintf("sha256:%x", layer), "size": 1000}},
		"annotations": map[string]string{"label": label},
	})
	if err != nil {
		return Pushed{}, fmt.Errorf("push the manifest %s:%s: %w", repository, tag, err)
	}
	return r.put(ctx, repository, tag, manifest, config)
}

// put stores blobs and the manifest that names them. No network is between: thousands
// are pushed.
func (r *Registry) put(ctx context.Context, repository, tag string, manifest []byte, blobs ...[]byte) (Pushed, error) {
	type part struct {
		method, path, mediaType string
		body                    []byte
	}
	var parts []part
	for _, blob := range blobs {
		parts = append(parts, part{http.MethodPost, "/v2/" + repository + "/blobs/uploads/?digest=" + digestOf(blob), "application/octet-stream", blob})
	}
	parts = append(parts, part{http.MethodPut, "/v2/" + repository + "/manifests/" + tag, string(types.OCIManifestSchema1), manifest})
	for _, part := range parts {
		req, err := http.NewRequestWithContext(ctx, part.method, part.path, bytes.NewReader(part.body))
		if err != nil {
			return Pushed{}, fmt.Errorf("push the manifest %s:%s: %w", repository, tag, err)
		}
		req.Header.Set("Content-Type", part.mediaType)
		var answer status
		r.handler.ServeHTTP(&answer, req)
		if answer.code != http.StatusCreated {
			return Pushed{}, fmt.Errorf("push the manifest %s:%s: the registry answered %d", repository, tag, answer.code)
		}
	}
	repo, digest := r.host+"/"+repository, digestOf(manifest)
	return Pushed{Ref: repo + ":" + tag, Digest: digest, Pinned: repo + "@" + digest}, nil
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// status is a response of which only the status is looked at.
type status struct {
	code   int
	header http.Header
}

func (s *status) Header() http.Header {
	if s.header == nil {
		s.header = http.Header{}
	}
	return s.header
}

func (s *status) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
}

func (s *status) Write(b []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return len(b), nil
}
