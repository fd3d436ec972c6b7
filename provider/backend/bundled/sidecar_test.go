package bundled_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/bundled"
	"github.com/imagegate/imagegate/provider/backend/harbor"
	"github.com/imagegate/imagegate/provider/report"
)

// beside serves a worker's API at a socket, as far as it is asked before a scan.
type beside struct {
	socket     string
	ready      atomic.Bool
	properties map[string]string
	scans      atomic.Int32
	server     *http.Server
}

func startBeside(t *testing.T, properties map[string]string) *beside {
	t.Helper()
	b := &beside{socket: filepath.Join(t.TempDir(), "s.sock"), properties: properties}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !b.ready.Load() {
			http.Error(w, "there is no vulnerability database yet", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"scanner": map[string]string{"name": "Grype", "vendor": "Anchore", "version": "1"},
			"capabilities": []map[string]any{{
				"consumes_mime_types": []string{"application/vnd.oci.image.manifest.v1+json"},
				"produces_mime_types": []string{"application/vnd.security.vulnerability.report; version=1.1"},
			}},
			"properties": b.properties,
		})
	})
	mux.HandleFunc("POST /api/v1/scan", func(w http.ResponseWriter, _ *http.Request) {
		b.scans.Add(1)
		http.Error(w, "no", http.StatusBadRequest)
	})
	l, err := net.Listen("unix", b.socket)
	if err != nil {
		t.Fatal(err)
	}
	b.server = &http.Server{Handler: mux}
	go func() { _ = b.server.Serve(l) }()
	t.Cleanup(func() { _ = b.server.Close() })
	return b
}

func (b *beside) sidecar(t *testing.T, workers int, log io.Writer) *bundled.Sidecar {
	t.Helper()
	client, err := harbor.New(harbor.Options{URL: "http://scanner.bundled", Socket: b.socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return bundled.NewSidecar(client, workers, slog.New(slog.NewTextHandler(log, nil)))
}

var image = backend.Image{
	Registry: "r.example", Repository: "a", Digest: "sha256:" + strings.Repeat("0", 64),
	MediaType: "application/vnd.oci.image.manifest.v1+json",
}

func TestASidecarIsReadyWhenItCanScan(t *testing.T) {
	b := startBeside(t, map[string]string{"imagegate.dev/verifies": "true", "imagegate.dev/workers": "2"})
	var log strings.Builder
	s := b.sidecar(t, 4, &log)
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no vulnerability database yet") || !strings.Contains(err.Error(), "unix://"+b.socket) {
		t.Errorf("without a database: %v", err)
	}
	b.ready.Store(true)
	if err := s.WaitReady(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if g, err := s.Generation(t.Context()); err != nil || g.Scanner != "Grype 1" {
		t.Errorf("%+v %v", g, err)
	}
	if s.Sharing(image) != backend.ByDigest {
		t.Error("a worker that verifies what it reads shares by less than the digest")
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("it was said %d times that the worker has fewer slots:\n%s", n, log.String())
	}
	_, err := s.Scan(t.Context(), image)
	if b.scans.Load() != 1 || err == nil {
		t.Errorf("%d scans were asked for, %v", b.scans.Load(), err)
	}

	if err := b.server.Close(); err != nil {
		t.Fatal(err)
	}
	f := report.FailureOf(s.Ready(t.Context()))
	if f.Reason != report.ReasonUnavailable || !strings.Contains(f.Message, "cannot be reached") {
		t.Errorf("a worker that is gone: %s, %v", f.Reason, f)
	}
	if err := s.WaitReady(t.Context(), 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("a worker that is gone is waited for: %v", err)
	}
}

// Another scanner at the socket would have its word for one registry's image
// taken for all registries'.
func TestOnlyImagegatesOwnScannerIsTrustedSo(t *testing.T) {
	for _, properties := range []map[string]string{nil, {"imagegate.dev/verifies": "false"}} {
		b := startBeside(t, properties)
		b.ready.Store(true)
		s := b.sidecar(t, 1, io.Discard)
		_, err := s.Scan(t.Context(), image)
		for _, err := range []error{err, s.Ready(t.Context())} {
			if f := report.FailureOf(err); f.Reason != report.ReasonInternal || !strings.Contains(f.Message, "scanner.bundled.url is not imagegate's own") {
				t.Errorf("%v: %v", properties, err)
			}
		}
		if b.scans.Load() != 0 {
			t.Error("it was asked for a scan")
		}
	}
}

func TestSocketURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"unix:///run/imagegate/scanner.sock": true, "unix://run/x": false, "http://127.0.0.1:8081": false, "/run/x": false, "unix://": false,
	} {
		if err := bundled.CheckSocketURL(url); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
}
