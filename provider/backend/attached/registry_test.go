package attached_test

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/attached"
	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
)

// now is the tests' clock.
func now() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// world is a registry with one image in it, and a Finder that trusts signer.
type world struct {
	t       *testing.T
	server  *httptest.Server
	handler http.Handler // nil: the registry itself
	signer  *attachedtest.Signer
	image   backend.Image
	desc    v1.Descriptor
	repo    name.Repository
	metrics *prometheus.Registry
	log     *bytes.Buffer
	options attached.Options
}

func newWorld(t *testing.T, referrers bool) *world {
	t.Helper()
	w := &world{t: t, signer: attachedtest.NewSigner(t), metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if w.handler != nil && strings.HasPrefix(req.Header.Get("User-Agent"), "imagegate") {
			w.handler.ServeHTTP(rw, req)
			return
		}
		inner.ServeHTTP(rw, req)
	}))
	t.Cleanup(w.server.Close)
	repo, err := name.NewRepository(strings.TrimPrefix(w.server.URL, "http://")+"/team/app", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	w.repo = repo
	w.desc = w.pushImage()
	w.image = backend.Image{
		Registry: w.server.URL, Repository: "team/app", Digest: w.desc.Digest.String(), MediaType: string(w.desc.MediaType),
	}
	w.options = attached.Options{
		Keys: [][]byte{w.signer.PEM(t)}, Now: now, Registerer: w.metrics,
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return w
}

// pushImage pushes an image of its own.
func (w *world) pushImage() v1.Descriptor {
	w.t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(w.repo.Digest(digest.String()), img); err != nil {
		w.t.Fatal(err)
	}
	d, err := remote.Get(w.repo.Digest(digest.String()))
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Descriptor
}

func (w *world) finder() *attached.Finder {
	w.t.Helper()
	f, err := attached.New(w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(f.Close)
	return f
}

// artifact makes a manifest that holds blobs of a media type. The type of its
// configuration is the artifact type that registries list.
func artifact(t *testing.T, artifactType, mediaType string, blobs ...[]byte) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.MediaType(artifactType))
	for _, b := range blobs {
		var err error
		img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(b, types.MediaType(mediaType))})
		if err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// attach pushes blobs as a referrer of the image.
func (w *world) attach(artifactType, mediaType string, blobs ...[]byte) {
	w.t.Helper()
	w.attachTo(w.desc, artifactType, mediaType, blobs...)
}

func (w *world) attachTo(subject v1.Descriptor, artifactType, mediaType string, blobs ...[]byte) {
	w.t.Helper()
	img, ok := mutate.Subject(artifact(w.t, artifactType, mediaType, blobs...), subject).(v1.Image)
	if !ok {
		w.t.Fatal("no image")
	}
	digest, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(w.repo.Digest(digest.String()), img); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) bundle(statement []byte) {
	w.t.Helper()
	w.attach(attachedtest.BundleType, attachedtest.BundleType, w.signer.SignedBundle(w.t, statement))
}

// counts returns the outcomes and look-ups that are not zero.
func (w *world) counts() map[string]int {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 && len(m.GetLabel()) > 0 {
				out[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return out
}

// proxy answers by the registry itself: for handlers that change some answers.
func (w *world) proxy(rw http.ResponseWriter, req *http.Request) {
	w.t.Helper()
	base, err := url.Parse(w.server.URL)
	if err != nil {
		w.t.Error(err)
		return
	}
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = base.Scheme, base.Host, ""
	out.Header.Set("User-Agent", "test")
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	for k, v := range resp.Header {
		rw.Header()[k] = v
	}
	rw.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(rw, resp.Body)
}
