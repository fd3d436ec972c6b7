package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDepth bounds indexes within indexes, maxDocuments the documents read
	// for one reference, maxChosen the manifests one reference is judged by.
	maxDepth     = 3
	maxDocuments = 16
	maxChosen    = 16
)

// offer is an image manifest that an index holds.
type offer struct {
	descriptor ocispec.Descriptor
}

// bare reports whether the index does not say what the image is for.
func (o offer) bare() bool {
	p := o.descriptor.Platform
	return p == nil || p.OS == "" && p.Architecture == ""
}

func (o offer) platform() string {
	if o.bare() {
		return ""
	}
	return platforms.Format(*o.descriptor.Platform)
}

func (o offer) manifest() Manifest {
	return Manifest{
		Digest:    o.descriptor.Digest.String(),
		MediaType: o.descriptor.MediaType,
		Platform:  o.platform(),
		Size:      o.descriptor.Size,
	}
}

// choose returns the manifests by which doc is judged: itself, or of an index
// for each wanted platform the one a container runtime would take.
func (r *Resolver) choose(t target, doc *document, read func(digest string) (*document, error)) ([]Manifest, error) {
	if !doc.index {
		return []Manifest{{Digest: doc.digest, MediaType: doc.mediaType, Size: doc.size}}, nil
	}
	w := walk{read: read, seen: map[string]bool{doc.digest: true}}
	if err := w.index(doc, 1); err != nil {
		return nil, err
	}
	chosen := w.matching(t.wanted)
	switch {
	case len(chosen) == 0:
		return nil, t.noPlatform(w.offers)
	case len(chosen) > maxChosen:
		return nil, unsupported(fmt.Sprintf("%d of its manifests would have to be judged, more than %d", len(chosen), maxChosen), nil)
	}
	return chosen, nil
}

// walk collects what an index and the indexes in it offer.
type walk struct {
	read   func(digest string) (*document, error)
	seen   map[string]bool
	offers []offer
}

func (w *walk) index(doc *document, depth int) error {
	for _, child := range doc.children {
		mt := types.MediaType(child.MediaType)
		switch {
		case isAttestation(child) || isArtifact(child):
			continue
		case mt.IsImage():
			w.offers = append(w.offers, offer{child})
		case mt.IsIndex():
			if err := w.nested(child, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) nested(child ocispec.Descriptor, depth int) error {
	digest := child.Digest.String()
	switch {
	case w.seen[digest]:
		return nil
	case depth >= maxDepth:
		return unsupported(fmt.Sprintf("its indexes are nested more than %d deep", maxDepth), nil)
	case len(w.seen) >= maxDocuments:
		return unsupported(fmt.Sprintf("it is made of more than %d indexes", maxDocuments), nil)
	}
	w.seen[digest] = true
	if err := child.Digest.Validate(); err != nil {
		return unsupported("its index names an invalid digest", err)
	}
	doc, err := w.read(digest)
	if err != nil {
		return err
	}
	if !doc.index {
		return unsupported("its index calls an image an index", nil)
	}
	return w.index(doc, depth+1)
}

// matching returns the best offer for each wanted platform. Offers that name
// no platform come along whenever something is wanted: a runtime may take
// them, so they are judged too.
func (w *walk) matching(list []wanted) []Manifest {
	var chosen []Manifest
	add := func(o offer) {
		m := o.manifest()
		if o.descriptor.Digest.Validate() != nil {
			return
		}
		if !slices.ContainsFunc(chosen, func(c Manifest) bool { return c.Digest == m.Digest }) {
			chosen = append(chosen, m)
		}
	}
	for _, want := range list {
		if best, ok := w.best(want); ok {
			add(best)
		}
	}
	for _, o := range w.offers {
		if o.bare() {
			add(o)
		}
	}
	return chosen
}

func (w *walk) best(want wanted) (offer, bool) {
	var best offer
	found := false
	for _, o := range w.offers {
		p := o.descriptor.Platform
		if o.bare() || !want.matcher.Match(*p) {
			continue
		}
		if !found || want.matcher.Less(*p, *best.descriptor.Platform) {
			best, found = o, true
		}
	}
	return best, found
}

// isAttestation recognises what BuildKit puts into an index beside the images.
func isAttestation(d ocispec.Descriptor) bool {
	return d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// isArtifact recognises signatures and the like by the type an index may give
// beside the media type; some tools repeat the image configuration's there.
func isArtifact(d ocispec.Descriptor) bool {
	return d.ArtifactType != "" && !types.MediaType(d.ArtifactType).IsConfig()
}

func (t target) noPlatform(offers []offer) error {
	var have []string
	asked := make([]string, len(t.wanted))
	for i, w := range t.wanted {
		asked[i] = w.name
	}
	for _, o := range offers {
		if p := o.platform(); !slices.Contains(have, p) {
			have = append(have, p)
		}
	}
	if len(have) == 0 {
		return unsupported("it is an index without any container image", nil)
	}
	const listed = 12
	if more := len(have) - listed; more > 0 {
		have = append(have[:listed], fmt.Sprintf("%d more", more))
	}
	return unsupported(fmt.Sprintf("it has no image for %s, only for %s", strings.Join(asked, " or "), strings.Join(have, ", ")), nil)
}
