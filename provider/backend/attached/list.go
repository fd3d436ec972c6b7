package attached

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/attached/signature"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// maxSaid bounds what a message repeats of a foreign document.
const maxSaid = 128

// lookup is one look-up.
type lookup struct {
	*Finder
	image backend.Image
	// trusted are the keys as they were when the look-up began.
	trusted signature.Keys
	source  *source
	// reports says whether a report may stand in for a scan.
	reports bool
	chosen  chosen
	// config returns the digest of the image's configuration, asked for once.
	config func() (string, error)
}

// attachment is a blob that may be a signed statement.
type attachment struct {
	digest    v1.Hash
	mediaType string
}

// list returns the attachments to read: those of the image, and those of the
// index that it was chosen from. More than MaxReferrers of them together fail
// the look-up: whoever may push could otherwise hide a report or a statement
// behind others.
func (l *lookup) list(ctx context.Context) ([]attachment, error) {
	var carriers []name.Reference
	for _, subject := range l.source.subjects() {
		referrers, err := l.source.referrers(ctx, subject)
		if err != nil {
			return nil, err
		}
		for _, d := range referrers {
			if l.skip(d) {
				continue
			}
			if ref := l.source.referrer(d.Digest); !slices.Contains(carriers, ref) {
				carriers = append(carriers, ref)
			}
			if n := len(carriers); n > l.options.MaxReferrers {
				return nil, l.tooMany(n)
			}
		}
	}
	if !l.options.SkipTags {
		for _, subject := range l.source.subjects() {
			carriers = append(carriers, cosignTag(subject))
		}
	}
	// No more is kept of a manifest than the attachments that it holds.
	held := make([][]attachment, len(carriers))
	err := l.each(ctx, len(carriers), func(ctx context.Context, i int) error {
		var err error
		held[i], err = l.attachments(ctx, carriers[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []attachment
	for _, some := range held {
		for _, a := range some {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	if n := len(out); n > l.options.MaxReferrers {
		return nil, l.tooMany(n)
	}
	return out, nil
}

var errTooMany = errors.New("more than are looked at")

func (l *lookup) tooMany(n int) error {
	return fmt.Errorf("the image has %d attachments or more; %d is the limit: %w", n, l.options.MaxReferrers, errTooMany)
}

// skip passes over referrers by their descriptors. Nobody signs those: a false
// one can hide a report, never make one.
func (l *lookup) skip(d v1.Descriptor) bool {
	switch {
	case isReport(d.ArtifactType):
		l.count(unsigned, d.Digest.String(), errors.New("a bare document of type "+report.Clean(d.ArtifactType, maxSaid)))
	case !mayBeSigned(d.ArtifactType):
		// Signatures, lists of packages, and whatever else may be attached.
	case !d.MediaType.IsImage():
		l.count(unsupported, d.Digest.String(), errors.New("a referrer of media type "+report.Clean(string(d.MediaType), maxSaid)))
	case d.Size > maxManifestBytes:
		l.count(tooLarge, d.Digest.String(), transport.ErrTooLarge)
	default:
		return false
	}
	return true
}

// isReport reports whether an artifact type is that of a vulnerability report
// or VEX document without an envelope.
func isReport(artifactType string) bool {
	switch artifactType {
	case "application/sarif+json", "application/vnd.cyclonedx.vex+json", "application/openvex+json",
		"application/vnd.openvex+json", "application/vnd.security.vulnerability.report", "application/vnd.in-toto+json":
		return true
	}
	return strings.HasPrefix(artifactType, "application/vnd.security.vulnerability.report;")
}

// mayBeSigned reports whether referrers of this type are worth reading: those
// of signed envelopes and those that do not tell.
func mayBeSigned(artifactType string) bool {
	switch artifactType {
	case "", "application/vnd.oci.empty.v1+json", string(types.OCIConfigJSON), string(types.DockerConfigJSON):
		return true
	}
	return strings.HasPrefix(artifactType, "application/vnd.dev.sigstore.bundle") ||
		artifactType == signature.EnvelopeMediaType
}

// attachments returns those that a manifest holds, none when it is not there:
// cosign's tag is often absent, and lists of referrers outlive what they list.
func (l *lookup) attachments(ctx context.Context, ref name.Reference) ([]attachment, error) {
	m, err := l.source.manifest(ctx, ref)
	_, isTag := ref.(name.Tag)
	switch {
	case errors.Is(err, errMissing) && isTag:
		return nil, nil
	case errors.Is(err, errMissing), errors.Is(err, errNoManifest):
		l.count(malformed, ref.Identifier(), err)
		return nil, nil
	case errors.Is(err, transport.ErrTooLarge):
		l.count(tooLarge, ref.Identifier(), err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	var out []attachment
	seen := map[v1.Hash]bool{}
	for i := range m.Layers {
		layer := &m.Layers[i]
		if !seen[layer.Digest] && l.isAttachment(layer) {
			out = append(out, attachment{digest: layer.Digest, mediaType: string(layer.MediaType)})
		}
		seen[layer.Digest] = true
		// One more than the limit is enough to see that it is passed.
		if len(out) > l.options.MaxReferrers {
			break
		}
	}
	return out, nil
}

// isAttachment reports whether a blob may be a signed statement.
func (l *lookup) isAttachment(layer *v1.Descriptor) bool {
	mediaType := string(layer.MediaType)
	switch {
	case isReport(mediaType):
		l.count(unsigned, layer.Digest.String(), errors.New("a bare document of type "+report.Clean(mediaType, maxSaid)))
	case mediaType != signature.EnvelopeMediaType && !signature.IsBundle(mediaType):
		l.count(unsupported, layer.Digest.String(), errors.New("an attachment of media type "+report.Clean(mediaType, maxSaid)))
	case layer.Size > l.options.MaxBytes:
		l.count(tooLarge, layer.Digest.String(), transport.ErrTooLarge)
	default:
		return true
	}
	return false
}
