package registry

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxDepth bounds indexes within indexes, maxDocuments the indexes read for
	// one reference, maxChosen the manifests one reference is judged by.
	maxDepth     = 3
	maxDocuments = 16
	maxChosen    = 16
)

// zstdAnnotation marks the child of an index that some runtimes prefer to its
// twins: https://github.com/containers/image
const zstdAnnotation = "io.github.containers.compression.zstd"

// offer is what an index lists and a container runtime may take. Runtimes go by
// the platform alone: they do not ask for the artifact type, and some not for
// the media type either.
type offer struct {
	descriptor ocispec.Descriptor
}

// bare reports whether the index does not say what the offer is for.
func (o offer) bare() bool {
	p := o.descriptor.Platform
	return p == nil || p.OS == "" || p.Architecture == ""
}

func (o offer) platform() string {
	if o.bare() {
		return ""
	}
	return platforms.Format(*o.descriptor.Platform)
}

// kind is a platform as far as it decides. Runtimes differ in what they make
// of the version and features of an operating system, so that offers which
// differ in nothing else are equally good.
type kind struct{ os, arch, variant string }

func (k kind) platform() ocispec.Platform {
	return ocispec.Platform{OS: k.os, Architecture: k.arch, Variant: k.variant}
}

// kind returns the zero one for a bare offer.
func (o offer) kind() kind {
	if o.bare() {
		return kind{}
	}
	p := o.descriptor.Platform
	return kind{p.OS, p.Architecture, p.Variant}
}

// String names the offer in messages.
func (o offer) String() string {
	if o.bare() {
		return fmt.Sprintf("%s for no particular platform", o.descriptor.Digest)
	}
	return fmt.Sprintf("%s for %s", o.descriptor.Digest, o.platform())
}

// behind reports whether every runtime takes twin, which the same index lists
// earlier, rather than o: nothing by which one is chosen tells them apart, and
// of equals all take the first.
func (o offer) behind(twin offer) bool {
	if o.bare() || twin.bare() {
		return false
	}
	a, b := o.descriptor, twin.descriptor
	return reflect.DeepEqual(a.Platform, b.Platform) && a.Annotations[zstdAnnotation] == b.Annotations[zstdAnnotation]
}

// isAttestation recognises what BuildKit puts into an index beside the images.
// No runtime takes it, as none runs on an unknown platform.
func isAttestation(d ocispec.Descriptor) bool {
	return d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// choose returns the manifests by which doc is judged: itself, or of an index
// for each wanted platform all that a container runtime might take.
func (r *Resolver) choose(t target, doc *document, read func(digest string) (*document, error)) ([]Manifest, error) {
	if !doc.index {
		return []Manifest{{Digest: doc.digest, MediaType: doc.mediaType, Size: doc.size}}, nil
	}
	w := walk{target: t, read: read, indexes: map[string]bool{doc.digest: true}}
	for _, want := range t.wanted {
		if err := w.index(doc, want, 1, map[string]bool{doc.digest: true}); err != nil {
			return nil, err
		}
	}
	if len(w.chosen) == 0 {
		return nil, t.noPlatform(w.have)
	}
	return w.chosen, nil
}

// maxConfigBytes is the most that is read of an image's configuration; real ones
// have some kilobytes.
const maxConfigBytes = 4 << 20

// hold fails when the image of a digest is for none of the wanted platforms, as its
// configuration says. One that says nothing is for any.
func (r *Resolver) hold(ctx context.Context, t target, cred credential, digest string) error {
	puller, err := r.puller(t, cred)
	if err != nil {
		return err
	}
	defer r.pullers.Weigh(pullerKey(t, cred), maxClient)
	desc, err := puller.Get(ctx, t.ref.Context().Digest(digest))
	if err != nil {
		return err
	}
	image, err := desc.Image()
	if err != nil {
		return unsupported("its manifest cannot be read", err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return unsupported("its manifest cannot be read", err)
	}
	if manifest.Config.Size > maxConfigBytes {
		return unsupported(fmt.Sprintf("its configuration has %d bytes, more than %d", manifest.Config.Size, maxConfigBytes), nil)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	is := ocispec.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant, OSVersion: config.OSVersion}
	if is.OS == "" || is.Architecture == "" {
		return nil
	}
	for _, want := range t.wanted {
		if want.Takes(is, []ocispec.Platform{is}) {
			return nil
		}
	}
	return t.noPlatform([]string{report.Clean(platforms.Format(is), maxNamed)})
}

func (t target) noPlatform(have []string) error {
	asked := make([]string, len(t.wanted))
	for i, w := range t.wanted {
		asked[i] = w.Describe()
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
