package cli

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/report"
)

// TestWhatScansCountFor: a report is shared between registries only by a
// scanner that verifies what it reads, which no foreign one is known to do.
func TestWhatScansCountFor(t *testing.T) {
	key := filepath.Join(t.TempDir(), "ci.pub")
	if err := os.WriteFile(key, attachedtest.NewSigner(t).PEM(t), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := config.Backend{Harbor: config.Harbor{URL: "http://127.0.0.1:1"}}
	for name, tc := range map[string]struct {
		c    config.Scanner
		want backend.Sharing
	}{
		"a foreign scanner": {config.Scanner{Backend: foreign}, backend.ByRepository},
		"several":           {config.Scanner{Backend: foreign, Routes: []config.ScannerRoute{{Prefix: "ghcr.io", Backend: foreign}}}, backend.ByName},
		"Anchore":           {config.Scanner{Backend: config.Backend{Anchore: config.Anchore{URL: "http://127.0.0.1:1"}}}, backend.ByName},
		"attached reports":  {config.Scanner{Backend: foreign, Attached: config.Attached{KeyFiles: []string{key}}}, backend.ByName},
	} {
		p := &parts{metrics: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler)}
		if err := p.startScanners(t.Context(), &config.Config{Scanner: tc.c}); err != nil {
			t.Fatal(err)
		}
		if got := p.scanners.Sharing(backend.Image{Registry: "https://ghcr.io", Repository: "app"}); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestAnAdapterIsToldTheProvidersAddress, and the registry's with its
// credentials only where somebody says so.
func TestAnAdapterIsToldTheProvidersAddress(t *testing.T) {
	image := withReport(t, attachedtest.NewSigner(t))
	image.MediaType, image.Authorization = string(types.DockerManifestSchema2), "Basic c2VjcmV0OnNlY3JldA=="
	var told struct {
		Registry struct{ URL, Authorization string }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"scanner":{"name":"x","version":"1"},"capabilities":[{
			"consumes_mime_types":["application/vnd.docker.distribution.manifest.v2+json"],
			"produces_mime_types":["application/vnd.security.vulnerability.report; version=1.1"]}]}`)
	})
	mux.HandleFunc("POST /api/v1/scan", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&told); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusTeapot)
	})
	adapter := httptest.NewServer(mux)
	defer adapter.Close()
	for _, verify := range []config.Verify{"", config.VerifyProxy, config.VerifyOff} {
		p := &parts{metrics: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler)}
		c := config.Default()
		c.Scanner.Harbor = config.Harbor{URL: adapter.URL, Verify: verify}
		if err := p.startScanners(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		if _, err := p.scanners.Scan(t.Context(), image); err == nil || !strings.Contains(err.Error(), "418") {
			t.Errorf("verify %q: %v", verify, err)
		}
		if direct := told.Registry.URL == image.Registry && told.Registry.Authorization == image.Authorization; direct != (verify == config.VerifyOff) {
			t.Errorf("verify %q: the adapter is told %+v", verify, told)
		}
		if verify != config.VerifyOff && (told.Registry.URL != p.pulls.URL() || strings.Contains(told.Registry.Authorization, "c2VjcmV0")) {
			t.Errorf("verify %q: the adapter is told %+v", verify, told)
		}
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// behind is a scanner that judges or lists.
type behind struct{}

func (behind) Scan(context.Context, backend.Image) (*report.Scan, error) {
	return &report.Scan{Scanner: "behind"}, nil
}
func (behind) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }
func (behind) Ready(context.Context) error           { return nil }
func (behind) Generation(context.Context) (backend.Generation, error) {
	return backend.Generation{}, nil
}

// TestAnAttachedReportReplacesNoPolicy: whoever holds the key vouches for a
// list of findings, not for the policy of Anchore or Sysdig.
func TestAnAttachedReportReplacesNoPolicy(t *testing.T) {
	signer := attachedtest.NewSigner(t)
	key := filepath.Join(t.TempDir(), "ci.pub")
	if err := os.WriteFile(key, signer.PEM(t), 0o600); err != nil {
		t.Fatal(err)
	}
	image := withReport(t, signer)
	p := &parts{metrics: prometheus.NewRegistry(), log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	wrap, err := p.attached(&config.Config{Scanner: config.Scanner{Attached: config.Attached{KeyFiles: []string{key}, Unstated: config.UnstatedAccept}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		backend config.Backend
		want    bool
	}{
		{config.Backend{}, true}, // the bundled worker
		{config.Backend{Harbor: config.Harbor{URL: "http://a"}}, true},
		{config.Backend{Anchore: config.Anchore{URL: "http://a"}}, false},
	} {
		scan, err := wrap(tc.backend, behind{}).Scan(t.Context(), image)
		if err != nil || scan.Attached != tc.want {
			t.Errorf("%+v: %+v, %v", tc.backend, scan, err)
		}
	}
}

// withReport pushes an image with a signed report attached.
func withReport(t *testing.T, signer *attachedtest.Signer) backend.Image {
	t.Helper()
	reg := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)))
	t.Cleanup(reg.Close)
	repo, err := name.NewRepository(strings.TrimPrefix(reg.URL, "http://")+"/app", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	push := func(img v1.Image) v1.Descriptor {
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(repo.Digest(digest.String()), img); err != nil {
			t.Fatal(err)
		}
		d, err := remote.Get(repo.Digest(digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		return d.Descriptor
	}
	content, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	subject := push(content)
	bundle := signer.SignedBundle(t, attachedtest.Statement(t, predicate.VulnsV02, map[string]any{
		"scanner":  map[string]any{"uri": "pkg:github/anchore/grype", "version": "1", "db": map[string]any{"lastUpdate": time.Now()}, "result": []any{}},
		"metadata": map[string]any{"scanFinishedOn": time.Now()},
	}, subject.Digest.String()))
	artifact, err := mutate.Append(
		mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), attachedtest.BundleType),
		mutate.Addendum{Layer: static.NewLayer(bundle, attachedtest.BundleType)})
	if err != nil {
		t.Fatal(err)
	}
	referrer, ok := mutate.Subject(artifact, subject).(v1.Image)
	if !ok {
		t.Fatal("no image")
	}
	push(referrer)
	return backend.Image{Registry: reg.URL, Repository: "app", Digest: subject.Digest.String()}
}

// The provider gave out four turns, of which three waited in the worker for its
// one slot: nobody was seen to wait, and who hung there was never stopped.
func TestNoMoreTurnsThanTheBundledWorkerHasSlots(t *testing.T) {
	c := config.Default()
	c.Scan.Workers = 4
	for slots, want := range map[int]int{1: 1, 2: 2, 4: 4} {
		if got := scansAtOnce(&c, slots); got != want {
			t.Errorf("%d turns for %d slots", got, slots)
		}
	}
	c.Scanner.Routes = []config.ScannerRoute{{Prefix: "ghcr.io"}}
	if got := scansAtOnce(&c, 1); got != 4 {
		t.Errorf("%d turns where others scan too", got)
	}
	if got := (&parts{}).workers(&c); got != 4 {
		t.Errorf("%d turns without a bundled worker", got)
	}
}

// TestEachKindOfBackendHasItsRow: what can be configured can be made.
func TestEachKindOfBackendHasItsRow(t *testing.T) {
	var names []string
	for _, k := range backendKinds() {
		names = append(names, k.name)
	}
	if want := config.Kinds(); !slices.Equal(names, want) {
		t.Errorf("made are %v, configured %v", names, want)
	}
}
