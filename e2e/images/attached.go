package images

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// emptyType is that of OCI's empty configuration, {}.
const emptyType types.MediaType = "application/vnd.oci.empty.v1+json"

// artifact is content with a manifest of its own: an SBOM, a chart.
type artifact struct {
	manifest v1.Manifest
	raw      []byte
	config   []byte
	blobs    map[v1.Hash]v1.Layer
}

// newArtifact makes the manifest of a blob. subject is what it says something
// about: a registry lists it beside that, as a referrer.
func newArtifact(artifactType string, config, blob v1.Layer, subject *v1.Descriptor, annotations map[string]string) (v1.Image, error) {
	a := &artifact{blobs: map[v1.Hash]v1.Layer{}, manifest: v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		ArtifactType: artifactType, Subject: subject, Annotations: annotations,
	}}
	c, err := partial.Descriptor(config)
	if err != nil {
		return nil, err
	}
	l, err := partial.Descriptor(blob)
	if err != nil {
		return nil, err
	}
	a.manifest.Config, a.manifest.Layers = *c, []v1.Descriptor{*l}
	a.blobs[c.Digest], a.blobs[l.Digest] = config, blob
	if a.config, err = read(config); err != nil {
		return nil, err
	}
	if a.raw, err = json.Marshal(a.manifest); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(a)
}

// attach makes an SBOM a referrer of a manifest.
func attach(list []byte, subject v1.Descriptor) (v1.Image, error) {
	img, err := newArtifact(sbomType, static.NewLayer([]byte("{}"), emptyType), static.NewLayer(list, sbomType), &subject, nil)
	if err != nil {
		return nil, fmt.Errorf("attach the SBOM of %s: %w", subject.Digest, err)
	}
	return img, nil
}

// MediaType implements partial.CompressedImageCore.
func (a *artifact) MediaType() (types.MediaType, error) { return a.manifest.MediaType, nil }

// RawManifest implements partial.CompressedImageCore.
func (a *artifact) RawManifest() ([]byte, error) { return a.raw, nil }

// RawConfigFile implements partial.CompressedImageCore.
func (a *artifact) RawConfigFile() ([]byte, error) { return a.config, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (a *artifact) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if l, ok := a.blobs[h]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("there is no blob %s", h)
}

func read(l v1.Layer) ([]byte, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	return b.Bytes(), err
}
