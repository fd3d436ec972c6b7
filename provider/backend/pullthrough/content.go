package pullthrough

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	godigest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxDocument bounds a manifest and a configuration, in bytes, as registries
	// bound manifests.
	maxDocument = 4 << 20
	// maxLayers is more than any container runtime can stack.
	maxLayers = 1024
)

// content is a verified manifest and configuration, and the layers they name.
type content struct {
	manifest     []byte
	mediaType    string
	config       []byte
	configDigest string
	// layers by their digest.
	layers map[string]*layer
}

func isSHA256(s string) bool {
	d, err := godigest.Parse(s)
	return err == nil && d.Algorithm() == godigest.SHA256
}

func digestOf(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }

// content reads the image as far as the scanner is not asked for it yet.
func (o *origin) content(ctx context.Context, image backend.Image) (*content, error) {
	if !isSHA256(image.Digest) {
		return nil, o.wrong("the digest is no SHA-256")
	}
	from, err := o.manifest(ctx, image.Digest, image.MediaType)
	if err != nil {
		return nil, o.trouble("the manifest", err)
	}
	raw, err := o.document(from, "manifest", image.Digest, -1)
	if err != nil {
		return nil, err
	}
	m, err := o.readManifest(raw)
	if err != nil {
		return nil, err
	}
	if m.Config.Size > maxDocument {
		return nil, o.tooLarge("its configuration is larger than %d bytes", maxDocument)
	}
	if from, err = o.blob(ctx, m.Config.Digest.String()); err != nil {
		return nil, o.trouble("the image's configuration", err)
	}
	config, err := o.document(from, "configuration", m.Config.Digest.String(), m.Config.Size)
	if err != nil {
		return nil, err
	}
	diffIDs, err := o.readConfig(config)
	if err != nil {
		return nil, err
	}
	if len(diffIDs) != len(m.Layers) {
		return nil, o.wrong("it has %d layers and its configuration names %d", len(m.Layers), len(diffIDs))
	}
	c := &content{manifest: raw, mediaType: image.MediaType, config: config, configDigest: m.Config.Digest.String(), layers: map[string]*layer{}}
	if c.mediaType == "" {
		c.mediaType = ocispec.MediaTypeImageManifest
	}
	for i, d := range m.Layers {
		if err := o.addLayer(c, d, diffIDs[i]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// document reads content that is small enough to be held, and verifies it. size
// is -1 where nothing says it.
func (o *origin) document(from *body, what, digest string, size int64) ([]byte, error) {
	defer from.close()
	raw, err := io.ReadAll(io.LimitReader(from, maxDocument+1))
	switch {
	case err != nil:
		return nil, o.trouble("the image's "+what, err)
	case len(raw) > maxDocument:
		return nil, o.tooLarge("its %s is larger than %d bytes", what, maxDocument)
	}
	sum := sha256.Sum256(raw)
	if digestOf(sum[:]) != digest || size >= 0 && int64(len(raw)) != size {
		return nil, o.otherBytes(what, digest)
	}
	return raw, nil
}

func (o *origin) readManifest(raw []byte) (*ocispec.Manifest, error) {
	members, err := exact(raw, "mediaType", "config", "layers")
	if err != nil {
		return nil, o.wrong("its manifest is ambiguous: %s", err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, o.wrong("its manifest is not valid")
	}
	var layers []json.RawMessage
	if members["layers"] != nil {
		if err := json.Unmarshal(members["layers"], &layers); err != nil {
			return nil, o.wrong("its manifest is not valid")
		}
	}
	if len(layers) != len(m.Layers) || members["config"] == nil {
		return nil, o.wrong("its manifest is not that of a container image")
	}
	if len(layers) > maxLayers {
		return nil, o.tooLarge("it has more than %d layers", maxLayers)
	}
	for i, part := range append(layers, members["config"]) {
		if _, err := exact(part, "mediaType", "digest", "size", "urls", "data"); err != nil {
			return nil, o.wrong("its manifest is ambiguous: %s", err)
		}
		d := m.Config
		if i < len(layers) {
			d = m.Layers[i]
		}
		if err := check(d); err != nil {
			return nil, o.wrong("%s", err)
		}
	}
	return &m, nil
}

// check refuses what a reader of the manifest could take from anywhere but the
// blobs that are verified here.
func check(d ocispec.Descriptor) error {
	switch {
	case !isSHA256(d.Digest.String()):
		return errors.New("its manifest names a digest that is no SHA-256")
	case d.Size < 1: // of nothing the header alone would be all
		return fmt.Errorf("its manifest gives %s a size of %d", d.Digest, d.Size)
	case len(d.URLs) > 0:
		return fmt.Errorf("it keeps %s outside of the registry, which cannot be verified", d.Digest)
	case len(d.Data) > 0:
		return fmt.Errorf("its manifest holds the content of %s, which cannot be verified", d.Digest)
	}
	return nil
}

func (o *origin) readConfig(raw []byte) ([]string, error) {
	members, err := exact(raw, "rootfs")
	if err != nil {
		return nil, o.wrong("its configuration is ambiguous: %s", err)
	}
	if members["rootfs"] == nil {
		return nil, o.wrong("its configuration is not that of a container image")
	}
	rootfs, err := exact(members["rootfs"], "type", "diff_ids")
	if err != nil {
		return nil, o.wrong("its configuration is ambiguous: %s", err)
	}
	var diffIDs []string
	if rootfs["diff_ids"] != nil {
		if err := json.Unmarshal(rootfs["diff_ids"], &diffIDs); err != nil {
			return nil, o.wrong("its configuration is not valid")
		}
	}
	for _, id := range diffIDs {
		if !isSHA256(id) {
			return nil, o.wrong("its configuration names a layer by something else than a SHA-256")
		}
	}
	return diffIDs, nil
}

func (o *origin) addLayer(c *content, d ocispec.Descriptor, diffID string) error {
	packing, ok := packingOf(d.MediaType)
	if !ok {
		return o.wrong("its layers are of a type that cannot be verified: %q", report.Clean(d.MediaType, maxName))
	}
	digest := d.Digest.String()
	if known := c.layers[digest]; known != nil {
		if known.diffID != diffID || known.size != d.Size || known.packing != packing {
			return o.wrong("it contradicts itself about its layer %s", digest)
		}
		return nil
	}
	if digest == c.configDigest {
		return o.wrong("its configuration is one of its layers")
	}
	c.layers[digest] = &layer{digest: digest, size: d.Size, diffID: diffID, packing: packing, turn: make(chan struct{}, 1)}
	return nil
}
