package worker_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layer packs files, by path, into a layer.
func layer(t *testing.T, files map[string][]byte) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for path, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(buf.Bytes(), types.DockerUncompressedLayer)
}

// packed is a compressed layer that knows what it unpacks to, as builders do. The
// static package takes a layer for its own content.
type packed struct {
	v1.Layer
	content v1.Hash
}

func (p packed) DiffID() (v1.Hash, error) { return p.content, nil }

// packedLayer is a compressed layer; sum is of its content.
func packedLayer(content []byte, kind types.MediaType, sum []byte) v1.Layer {
	return packed{static.NewLayer(content, kind), v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)}}
}

// gzippedLayer is an archive as builders push it.
func gzippedLayer(t *testing.T, archive []byte) v1.Layer {
	t.Helper()
	sum := sha256.Sum256(archive)
	return packedLayer(gzipped(t, archive), types.DockerLayer, sum[:])
}

// image stacks layers on nothing.
func image(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

func programImage(t *testing.T, program string) v1.Image {
	t.Helper()
	return image(t, layerOf(t, build(t, program)))
}

// push uploads an image and returns its digest.
func push(t *testing.T, reg *testRegistry, repository string, img v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(reg.host() + "/" + repository + ":latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: user, Password: password})); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// layerOf is a layer with one program.
func layerOf(t *testing.T, program string) v1.Layer {
	t.Helper()
	return layer(t, map[string][]byte{"app": read(t, program)})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
