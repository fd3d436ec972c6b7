package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/imagegate/imagegate/provider/platform"
	"github.com/imagegate/imagegate/provider/report"
)

// walk goes the ways that container runtimes go through an index and the
// indexes in it. They disagree about which of several equal children is the
// best, so it takes all of these; what it cannot judge makes the whole
// reference unsupported, as the index is what gets pinned.
type walk struct {
	target target
	read   func(digest string) (*document, error)
	// indexes are the digests of those read, for all platforms.
	indexes map[string]bool
	// have are the platforms come across, for messages.
	have   []string
	chosen []Manifest
}

// index takes what doc has for want. seen are the indexes looked through for
// it already.
func (w *walk) index(doc *document, want platform.Pattern, depth int, seen map[string]bool) error {
	offers, err := w.offers(doc)
	if err != nil {
		return err
	}
	taken := takenKinds(want, offers)
	for i, o := range offers {
		if !o.bare() && !taken[o.kind()] {
			continue
		}
		if types.MediaType(o.descriptor.MediaType).IsIndex() {
			err = w.nested(o, want, depth, seen)
		} else {
			err = w.image(o, slices.ContainsFunc(offers[:i], o.behind))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) offers(doc *document) ([]offer, error) {
	var offers []offer
	for _, child := range doc.children {
		if err := child.Digest.Validate(); err != nil {
			return nil, unsupported(fmt.Sprintf("its index names an invalid digest %q", child.Digest), err)
		}
		if isAttestation(child) {
			continue
		}
		o := offer{child}
		offers = append(offers, o)
		if p := o.platform(); p != "" && !slices.Contains(w.have, p) {
			w.have = append(w.have, p)
		}
	}
	return offers, nil
}

// takenKinds are the kinds of offers that a node of a wanted platform may run.
// They are found once for each, since one index may list a kind many times.
func takenKinds(want platform.Pattern, offers []offer) map[kind]bool {
	found := map[kind]bool{}
	var all []ocispec.Platform
	for _, o := range offers {
		if k := o.kind(); !o.bare() && !found[k] {
			found[k] = true
			all = append(all, k.platform())
		}
	}
	for k := range found {
		found[k] = want.Takes(k.platform(), all)
	}
	return found
}

func (w *walk) nested(o offer, want platform.Pattern, depth int, seen map[string]bool) error {
	digest := o.descriptor.Digest.String()
	switch {
	case seen[digest]:
		return nil
	case depth >= maxDepth:
		return unsupported(fmt.Sprintf("its indexes are nested more than %d deep", maxDepth), nil)
	case len(w.indexes) >= maxDocuments && !w.indexes[digest]:
		return unsupported(fmt.Sprintf("it is made of more than %d indexes", maxDocuments), nil)
	}
	seen[digest], w.indexes[digest] = true, true
	doc, err := w.read(digest)
	if err != nil {
		return w.unread(o, err)
	}
	if !doc.index {
		return w.unread(o, unsupported("it is an image, which the index that lists it calls an index", nil))
	}
	return w.index(doc, want, depth+1, seen)
}

// image takes o to be judged. What no runtime takes need not be an image:
// tools put artifacts such as lazy-loading tables behind the image they belong
// to, with its platform. It is judged all the same when it is one.
func (w *walk) image(o offer, unreachable bool) error {
	digest := o.descriptor.Digest.String()
	if slices.ContainsFunc(w.chosen, func(c Manifest) bool { return c.Digest == digest }) {
		return nil
	}
	doc, err := w.read(digest)
	if err == nil && doc.index {
		err = unsupported("it is an index, which the index that lists it does not say", nil)
	}
	if err != nil {
		if unreachable && isUnsupported(err) {
			return nil
		}
		return w.unread(o, err)
	}
	if len(w.chosen) >= maxChosen {
		return unsupported(fmt.Sprintf("more than %d of its manifests would have to be judged", maxChosen), nil)
	}
	w.chosen = append(w.chosen, Manifest{Digest: digest, MediaType: doc.mediaType, Platform: o.platform(), Size: doc.size})
	return nil
}

// unread says which child of an index was at fault, unless the fault is the
// registry's.
func (w *walk) unread(o offer, err error) error {
	if f, ok := errors.AsType[*report.Failure](err); ok && isUnsupported(err) {
		return unsupported(fmt.Sprintf("its index lists %s, which a container runtime may run: %s", o, f.Message), f.Err)
	}
	if te, ok := errors.AsType[*remotetransport.Error](err); ok && te.StatusCode == http.StatusNotFound {
		return &report.Failure{
			Reason:  report.ReasonNotFound,
			Message: fmt.Sprintf("registry %s does not have what the index %s lists as %s", w.target.host(), w.target.reference, o),
			Err:     err,
		}
	}
	return err
}

func isUnsupported(err error) bool {
	f, ok := errors.AsType[*report.Failure](err)
	return ok && f.Reason == report.ReasonUnsupported
}
