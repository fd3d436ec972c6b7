package registry

import (
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxManifestBytes is the size up to which registries must accept
	// manifests by the distribution specification.
	maxManifestBytes = 4 << 20
	// maxChildren bounds the manifests of one index.
	maxChildren = 128
	// maxField bounds each string of what an index lists, maxFeatures the number
	// of a platform's, and maxNamed what of any of them stands in a message.
	maxField    = 200
	maxFeatures = 8
	maxNamed    = 100
	// childBytes is about what a descriptor or a platform takes beside its text.
	childBytes = 200
)

// document is what imagegate keeps of an index or image manifest.
type document struct {
	digest    string
	mediaType string
	size      int64
	index     bool
	// children of an index; never of an image manifest.
	children []ocispec.Descriptor
	// artifact says what this is, when it is a manifest of something that is no
	// container image: it has a digest that it can be pinned to, and nothing to scan.
	artifact string
}

type rawManifest struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       *ocispec.Descriptor  `json:"config"`
	Layers       json.RawMessage      `json:"layers"`
	Manifests    []ocispec.Descriptor `json:"manifests"`
}

// parse reads a manifest of the media type its registry gave it. What is
// no image, no index and no artifact is a Failure that says what it is instead.
func parse(mediaType string, body []byte) (*document, error) {
	var raw rawManifest
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, unsupported("its manifest is not valid JSON", err)
	}
	mediaType, err := effectiveType(mediaType, raw)
	if err != nil {
		return nil, err
	}
	doc := &document{mediaType: mediaType, size: int64(len(body))}
	switch types.MediaType(mediaType) {
	case types.OCIImageIndex, types.DockerManifestList:
		if raw.Config != nil || raw.Layers != nil {
			return nil, unsupported("its manifest is an index and an image at once", nil)
		}
		if len(raw.Manifests) > maxChildren {
			return nil, unsupported(fmt.Sprintf("it is an index of %d manifests, more than %d", len(raw.Manifests), maxChildren), nil)
		}
		doc.index = true
		for _, d := range raw.Manifests {
			child, err := reduce(d)
			if err != nil {
				return nil, err
			}
			doc.children = append(doc.children, child)
		}
		return doc, nil
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		if raw.Manifests != nil {
			return nil, unsupported("its manifest is an index and an image at once", nil)
		}
		if raw.Config == nil {
			return nil, unsupported("its manifest names no image configuration", nil)
		}
		doc.artifact = artifact(raw)
		return doc, nil
	case types.DockerManifestSchema1, types.DockerManifestSchema1Signed:
		return nil, unsupported("it is in Docker's obsolete manifest format (schema 1), which container runtimes no longer run", nil)
	default:
		return nil, unsupported(fmt.Sprintf("it has the media type %q, which is no container image", report.Clean(mediaType, maxNamed)), nil)
	}
}

// reduce leaves of what an index lists only what is gone by. A field that is
// longer than any real one makes the index one that cannot be judged.
func reduce(d ocispec.Descriptor) (ocispec.Descriptor, error) {
	out := ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest}
	fields := []string{d.MediaType, string(d.Digest)}
	if zstd, ok := d.Annotations[zstdAnnotation]; ok {
		out.Annotations = map[string]string{zstdAnnotation: zstd}
		fields = append(fields, zstd)
	}
	if p := d.Platform; p != nil {
		out.Platform = &ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures}
		fields = append(append(fields, p.OS, p.Architecture, p.Variant, p.OSVersion), p.OSFeatures...)
		if len(p.OSFeatures) > maxFeatures {
			return out, unsupported(fmt.Sprintf("its index lists a platform of %d features, more than %d", len(p.OSFeatures), maxFeatures), nil)
		}
	}
	for _, field := range fields {
		if len(field) > maxField || report.Clean(field, maxField) != field {
			return out, unsupported(fmt.Sprintf("its index says %q where no more than %d printable characters are expected", report.Clean(field, maxNamed), maxField), nil)
		}
	}
	return out, nil
}

// image returns d as what an index lists as an image, which no artifact is.
func (d *document) image() (*document, error) {
	if d.artifact != "" {
		return nil, unsupported(d.artifact, nil)
	}
	return d, nil
}

// bytes is about what the document takes in memory.
func (d *document) bytes() int {
	n := len(d.digest) + len(d.mediaType) + len(d.artifact)
	for _, c := range d.children {
		n += childBytes + len(c.MediaType) + len(c.Digest)
		if p := c.Platform; p != nil {
			n += childBytes + len(p.OS) + len(p.Architecture) + len(p.Variant) + len(p.OSVersion)
			for _, f := range p.OSFeatures {
				n += 16 + len(f)
			}
		}
		for k, v := range c.Annotations {
			n += childBytes + len(k) + len(v)
		}
	}
	return n
}

// effectiveType is the registry's media type, or the document's own when the
// registry's is none of ours. Two that contradict each other are refused: a
// runtime might read the other one.
func effectiveType(header string, raw rawManifest) (string, error) {
	if base, _, err := mime.ParseMediaType(header); err == nil {
		header = base
	}
	known := isManifestType(header)
	switch {
	case known && raw.MediaType != "" && raw.MediaType != header:
		return "", unsupported(fmt.Sprintf("the registry calls it %q and it calls itself %q", report.Clean(header, maxNamed), report.Clean(raw.MediaType, maxNamed)), nil)
	case known || raw.MediaType == "":
		return header, nil
	}
	return raw.MediaType, nil
}

func isManifestType(t string) bool {
	mt := types.MediaType(t)
	return mt.IsIndex() || mt.IsImage() || mt.IsSchema1()
}

// artifact says what a manifest is of that is not of an image, as its configuration
// tells; empty for an image.
func artifact(raw rawManifest) string {
	if types.MediaType(raw.Config.MediaType).IsConfig() {
		return ""
	}
	kind := raw.ArtifactType
	if kind == "" {
		kind = raw.Config.MediaType
	}
	if strings.Contains(kind, "helm") {
		return "it is a Helm chart, not a container image"
	}
	return fmt.Sprintf("it is an artifact of type %q, not a container image", report.Clean(kind, maxNamed))
}

// unsupported makes a Failure whose message target.failure completes with the
// reference.
func unsupported(why string, err error) *report.Failure {
	return &report.Failure{Reason: report.ReasonUnsupported, Message: why, Err: err}
}
