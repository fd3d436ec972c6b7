package attached

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// source is one image's repository, opened with the image's authorization.
type source struct {
	image name.Digest
	// index is what the image was chosen from, nil when it was asked for itself.
	index  *name.Digest
	puller *remote.Puller
	most   int64
}

func (f *Finder) open(ctx context.Context, image backend.Image) (*source, error) {
	for _, digest := range []string{image.Digest, cmp.Or(image.Index, image.Digest)} {
		if hash, err := v1.NewHash(digest); err != nil || hash.Algorithm != "sha256" {
			return nil, fmt.Errorf("%q is not a sha256 digest", report.Clean(digest, maxSaid))
		}
	}
	base, err := url.Parse(image.Registry)
	if err != nil || base.Host == "" {
		return nil, errors.New("the registry is not a URL")
	}
	g := &gate{ways: f.ways, blob: f.options.MaxBytes, quiet: f.quiet, authorization: image.Authorization}
	var names []name.Option
	switch base.Scheme {
	case "https":
	case "http":
		g.plain = base.Host
		names = append(names, name.Insecure)
	default:
		return nil, fmt.Errorf("the registry's scheme is %q", base.Scheme)
	}
	ref, err := name.NewDigest(base.Host+"/"+image.Repository+"@"+image.Digest, names...)
	if err != nil {
		return nil, fmt.Errorf("naming the image: %w", err)
	}
	auth, err := transport.Authenticator(image.Authorization)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(
		remote.WithContext(ctx),
		remote.WithAuth(auth),
		remote.WithTransport(f.ways.Around(g)),
		remote.WithUserAgent("imagegate"),
		// A scan is the answer to a failure, at once.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryStatusCodes(),
	)
	if err != nil {
		return nil, fmt.Errorf("opening the registry: %w", err)
	}
	s := &source{image: ref, puller: puller, most: f.options.MaxBytes}
	if image.Index != "" && image.Index != image.Digest {
		index := ref.Context().Digest(image.Index)
		s.index = &index
	}
	return s, nil
}

// subjects are what statements about the image may be attached to.
func (s *source) subjects() []name.Digest {
	if s.index == nil {
		return []name.Digest{s.image}
	}
	return []name.Digest{s.image, *s.index}
}

// referrers lists what refers to a subject. go-containerregistry falls back to
// the tag sha256-<hex> where a registry has no list; for the rest see checkList.
func (s *source) referrers(ctx context.Context, subject name.Digest) ([]v1.Descriptor, error) {
	index, err := remote.Referrers(subject, remote.WithContext(ctx), remote.Reuse(s.puller))
	if err != nil {
		return nil, fmt.Errorf("listing referrers: %w", err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the list of referrers: %w", err)
	}
	return list.Manifests, nil
}

// cosignTag is where cosign's older scheme puts attestations of a subject.
func cosignTag(subject name.Digest) name.Reference {
	return subject.Context().Tag(strings.Replace(subject.DigestStr(), ":", "-", 1) + ".att")
}

// config returns the digest of the image's configuration, which scanners call
// the image's ID.
func (s *source) config(ctx context.Context) (string, error) {
	m, err := s.manifest(ctx, s.image)
	if err != nil {
		return "", err
	}
	return m.Config.Digest.String(), nil
}

// referrer names a manifest in the image's repository.
func (s *source) referrer(digest v1.Hash) name.Reference {
	return s.image.Context().Digest(digest.String())
}

// manifest returns an attachment's manifest. Its error is errMissing when the
// registry does not have it, and errNoManifest when it has something else.
func (s *source) manifest(ctx context.Context, ref name.Reference) (*v1.Manifest, error) {
	d, err := s.puller.Get(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", ref.Identifier(), missing(err))
	}
	if !d.MediaType.IsImage() {
		return nil, fmt.Errorf("%s: %w", ref.Identifier(), errNoManifest)
	}
	m, err := v1.ParseManifest(bytes.NewReader(d.Manifest))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", ref.Identifier(), errNoManifest, err)
	}
	return m, nil
}

// blob returns an attachment. The digest is checked by the reader.
func (s *source) blob(ctx context.Context, digest v1.Hash) ([]byte, error) {
	layer, err := s.puller.Layer(ctx, s.image.Context().Digest(digest.String()))
	if err != nil {
		return nil, fmt.Errorf("reading attachment %s: %w", digest, err)
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, fmt.Errorf("reading attachment %s: %w", digest, missing(err))
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(io.LimitReader(body, s.most+1))
	if int64(len(data)) > s.most {
		return nil, fmt.Errorf("attachment %s: %w", digest, transport.ErrTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("reading attachment %s: %w", digest, err)
	}
	return data, nil
}

var (
	errMissing    = errors.New("the registry does not have it")
	errNoManifest = errors.New("it is not an image manifest")
)

func isNotFound(err error) bool {
	te, ok := errors.AsType[*remotetransport.Error](err)
	return ok && te.StatusCode == http.StatusNotFound
}

func missing(err error) error {
	if isNotFound(err) {
		return errors.Join(errMissing, err)
	}
	return err
}
