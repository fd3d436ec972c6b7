package imagescan

import (
	"context"
	"encoding/base64"
	"io"
	"net/url"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/internal/hosts"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// What a manifest may claim. No real image comes near.
const (
	maxLayers      = 1000
	maxConfigBytes = 16 << 20
)

// pull fetches the manifest, checks that it is an image's and within limits,
// and returns an image whose layers are fetched when they are read. Every byte
// is verified against the digest that was asked for.
func pull(ctx context.Context, req sandbox.Request) (*pulledImage, error) {
	ref, err := reference(req)
	if err != nil {
		return nil, err
	}
	auth, err := authenticator(req.Authorization)
	if err != nil {
		return nil, err
	}
	transport, err := roundTripper(req)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(
		remote.WithContext(ctx),
		remote.WithAuth(auth),
		remote.WithTransport(transport),
		remote.WithUserAgent("imagegate-scanner"),
	)
	if err != nil {
		return nil, err
	}
	desc, err := puller.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := checkMediaType(desc.MediaType); err != nil {
		return nil, err
	}
	img, err := desc.Image()
	if err != nil {
		return nil, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, failure.Wrap(failure.Invalid, err, "the image's manifest cannot be read")
	}
	if err := checkManifest(manifest, req.Limits); err != nil {
		return nil, err
	}
	return newPulledImage(img, manifest, hosts.Canonical(ref.Context().Scheme(), ref.Context().RegistryStr()), req.Limits.Disk, func(ctx context.Context, blob v1.Hash) (io.ReadCloser, error) {
		// From this registry, whatever other addresses the manifest names.
		l, err := puller.Layer(ctx, ref.Context().Digest(blob.String()))
		if err != nil {
			return nil, err
		}
		return l.Compressed()
	}), nil
}

func reference(req sandbox.Request) (name.Digest, error) {
	u, err := url.Parse(req.Registry)
	if err != nil || u.Host == "" {
		return name.Digest{}, failure.New(failure.BadRequest, "registry.url is not a URL with a host")
	}
	var opts []name.Option
	if u.Scheme == "http" {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.NewDigest(u.Host+"/"+req.Repository+"@"+req.Digest, opts...)
	if err != nil {
		return name.Digest{}, failure.New(failure.BadRequest, "registry, repository and digest do not make an image reference")
	}
	return ref, nil
}

// authenticator reads the value of an Authorization header. The library wants
// the parts, because it may have to exchange them for a token.
func authenticator(header string) (authn.Authenticator, error) {
	if header == "" {
		return authn.Anonymous, nil
	}
	scheme, value, _ := strings.Cut(header, " ")
	switch strings.ToLower(scheme) {
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
		if err != nil {
			return nil, failure.New(failure.BadRequest, "registry.authorization is not valid Basic authorization")
		}
		user, password, ok := strings.Cut(string(raw), ":")
		if !ok {
			return nil, failure.New(failure.BadRequest, "registry.authorization is not valid Basic authorization")
		}
		return authn.FromConfig(authn.AuthConfig{Username: user, Password: password}), nil
	case "bearer":
		return authn.FromConfig(authn.AuthConfig{RegistryToken: strings.TrimSpace(value)}), nil
	default:
		return nil, failure.New(failure.BadRequest, "registry.authorization is neither Basic nor Bearer")
	}
}

func checkMediaType(mt types.MediaType) error {
	switch {
	case mt == types.OCIManifestSchema1, mt == types.DockerManifestSchema2:
		return nil
	case mt.IsIndex():
		return failure.New(failure.Unsupported, "the digest is that of an index of images; scan the image of one platform")
	case mt == types.DockerManifestSchema1, mt == types.DockerManifestSchema1Signed:
		return failure.New(failure.Unsupported, "the image has a manifest of Docker's schema 1, which is not supported; push it again with a current tool")
	default:
		return failure.New(failure.Unsupported, "artifacts of type %q are not container images", short(string(mt)))
	}
}

// checkManifest refuses what is no image, and what claims to be too large.
func checkManifest(m *v1.Manifest, limits sandbox.Limits) error {
	switch m.Config.MediaType {
	case types.OCIConfigJSON, types.DockerConfigJSON:
	default:
		return failure.New(failure.Unsupported, "the artifact is not a container image: its configuration is of type %q", short(string(m.Config.MediaType)))
	}
	if m.Config.Size > maxConfigBytes {
		return failure.New(failure.TooLarge, "the image's configuration has %d bytes; %d is the limit", m.Config.Size, maxConfigBytes)
	}
	if len(m.Layers) > maxLayers {
		return failure.New(failure.TooLarge, "the image has %d layers; %d is the limit", len(m.Layers), maxLayers)
	}
	var total int64
	known := packings()
	for i, l := range m.Layers {
		if _, ok := known[l.MediaType]; !ok {
			return failure.New(failure.Unsupported, "the artifact is not a container image: its layer %d is of type %q", i, short(string(l.MediaType)))
		}
		if l.Size < 0 {
			return failure.New(failure.Invalid, "the image's manifest gives its layer %d a negative size", i)
		}
		if l.Size > limits.Disk-total {
			return failure.New(failure.TooLarge, "the image's layers have more than %s, the limit on disk space", humanize.IBytes(uint64(limits.Disk)))
		}
		total += l.Size
	}
	return nil
}

// short cuts what a stranger wrote before it goes into a message, and takes out
// what would not stay on its line.
func short(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, s)
}
