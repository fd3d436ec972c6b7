package transport_test

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/registry/transport"
)

func caFile(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newHosts(caFiles map[string]string, tokenHosts ...string) (*transport.Hosts, error) {
	return transport.NewHosts(caFiles, tokenHosts, slog.New(slog.DiscardHandler))
}

func TestARegistryHasItsOwnTransport(t *testing.T) {
	for _, tc := range []struct {
		registry, host string
		own            bool
	}{
		{"docker.io", "index.docker.io", true},
		{"index.docker.io", "index.docker.io", true},
		{"ghcr.io", "ghcr.io", true},
		{"registry.example.com:5000", "registry.example.com:5000", true},
		{"registry.example.com:5000", "registry.example.com", false},
		{"ghcr.io", "index.docker.io", false},
	} {
		h, err := newHosts(map[string]string{tc.registry: caFile(t)})
		if err != nil {
			t.Fatal(err)
		}
		s := transport.NewSet(h, time.Second, 1)
		if own := s.For(tc.host).TLSClientConfig.RootCAs != nil; own != tc.own {
			t.Errorf("authorities of %s for requests to %s: %t, want %t", tc.registry, tc.host, own, tc.own)
		}
		s.CloseIdle()
	}
}

// TestARegistrysNewAuthorityIsUsed: before, caFiles were read once at start.
func TestARegistrysNewAuthorityIsUsed(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	host := strings.TrimPrefix(server.URL, "https://")
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, otherCA(t), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := newHosts(map[string]string{host: file})
	if err != nil {
		t.Fatal(err)
	}
	s := transport.NewSet(h, time.Second, 1)
	defer s.CloseIdle()
	ask := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.For(host).RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := ask(); err == nil {
		t.Fatal("the server is trusted by another authority")
	}
	right, err := os.ReadFile(caFile(t)) // httptest's servers share one certificate
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, right, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range h.Followed() {
		f.Refresh()
	}
	if err := ask(); err != nil {
		t.Errorf("after the file changed: %v", err)
	}
}

func TestNewHostsRefuses(t *testing.T) {
	ca := caFile(t)
	for want, files := range map[string]map[string]string{
		"must be a registry's host":              {"https://ghcr.io": ca},
		`registry.caFiles[]: "" must be`:         {"": ca},
		"registry.caFiles[ghcr.io]: stat /does/": {"ghcr.io": "/does/not/exist"},
		"twice: it is index.docker.io":           {"docker.io": ca, "index.docker.io": ca},
	} {
		if _, err := newHosts(files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	for s, want := range map[string]string{
		"":                    "must be a token server's ip[:port]",
		"https://10.0.0.5":    "must be a token server's ip[:port]",
		"10.0.0.5/token":      "must be a token server's ip[:port]",
		"10.0.0.5:":           "must be a token server's ip[:port]",
		"me@10.0.0.5":         "must be a token server's ip[:port]",
		"auth.example.com":    "need not be listed",
		"127.1":               "must be an IP address",
		"8.8.8.8":             "is no private address",
		"0.0.0.0":             "is no private address",
		"[2001:4860::8]:5000": "is no private address",
	} {
		if _, err := newHosts(nil, "10.0.0.1", s); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "registry.tokenHosts[1]") {
			t.Errorf("%q: error %v lacks %q", s, err, want)
		}
	}
}
