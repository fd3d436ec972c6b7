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

	"github.com/imagegate/imagegate/provider/scanner/attached/signature"
)

// lookup is one look-up.
type lookup struct {
	*Finder
	digest string
	source *source
	// reports says whether a report may stand in for a scan.
	reports bool
}

// attachment is a blob that may be a signed statement.
type attachment struct {
	digest    v1.Hash
	mediaType string
}

// list returns the attachments to read. More than MaxReferrers of them fail the
// look-up: whoever may push could otherwise hide a report or a statement behind
// others.
func (l *lookup) list(ctx context.Context) ([]attachment, error) {
	referrers, err := l.source.referrers(ctx)
	if err != nil {
		return nil, err
	}
	referrers = slices.DeleteFunc(referrers, l.skip)
	if n := len(referrers); n > l.options.MaxReferrers {
		return nil, l.tooMany(n)
	}
	manifests := make([]*v1.Manifest, len(referrers), len(referrers)+1)
	err = l.each(ctx, len(referrers), func(ctx context.Context, i int) error {
		var err error
		manifests[i], err = l.manifest(ctx, l.source.referrer(referrers[i].Digest))
		return err
	})
	if err != nil {
		return nil, err
	}
	if !l.options.SkipTags {
		m, err := l.manifest(ctx, l.source.cosignTag())
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, m)
	}
	out := l.attachments(manifests)
	if n := len(out); n > l.options.MaxReferrers {
		return nil, l.tooMany(n)
	}
	return out, nil
}

var errTooMany = errors.New("more than are looked at")

func (l *lookup) tooMany(n int) error {
	return fmt.Errorf("the image has %d attachments; %d is the limit: %w", n, l.options.MaxReferrers, errTooMany)
}

// skip passes over referrers by their descriptors. Nobody signs those: a false
// one can hide a report, never make one.
func (l *lookup) skip(d v1.Descriptor) bool {
	switch {
	case isReport(d.ArtifactType):
		l.count(unsigned, d.Digest.String(), errors.New("a bare document of type "+d.ArtifactType))
	case !mayBeSigned(d.ArtifactType):
		// Signatures, lists of packages, and whatever else may be attached.
	case !d.MediaType.IsImage():
		l.count(unsupported, d.Digest.String(), errors.New("a referrer of media type "+string(d.MediaType)))
	case d.Size > maxManifestBytes:
		l.count(tooLarge, d.Digest.String(), errTooLarge)
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

// manifest returns nil for what is not there: cosign's tag is often absent,
// and lists of referrers outlive what they list.
func (l *lookup) manifest(ctx context.Context, ref name.Reference) (*v1.Manifest, error) {
	m, err := l.source.manifest(ctx, ref)
	_, isTag := ref.(name.Tag)
	switch {
	case errors.Is(err, errMissing) && isTag:
		return nil, nil
	case errors.Is(err, errMissing), errors.Is(err, errNoManifest):
		l.count(malformed, ref.Identifier(), err)
		return nil, nil
	case errors.Is(err, errTooLarge):
		l.count(tooLarge, ref.Identifier(), err)
		return nil, nil
	}
	return m, err
}

// attachments picks the blobs out of the manifests, each once.
func (l *lookup) attachments(manifests []*v1.Manifest) []attachment {
	var out []attachment
	seen := map[v1.Hash]bool{}
	for _, m := range manifests {
		if m == nil {
			continue
		}
		for _, layer := range m.Layers {
			mediaType := string(layer.MediaType)
			switch {
			case seen[layer.Digest]:
			case isReport(mediaType):
				l.count(unsigned, layer.Digest.String(), errors.New("a bare document of type "+mediaType))
			case mediaType != signature.EnvelopeMediaType && !signature.IsBundle(mediaType):
				l.count(unsupported, layer.Digest.String(), errors.New("an attachment of media type "+mediaType))
			case layer.Size > l.options.MaxBytes:
				l.count(tooLarge, layer.Digest.String(), errTooLarge)
			default:
				out = append(out, attachment{digest: layer.Digest, mediaType: mediaType})
			}
			seen[layer.Digest] = true
		}
	}
	return out
}
