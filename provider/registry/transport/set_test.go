package transport_test

import (
	"encoding/pem"
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
		s, err := transport.NewSet(map[string]string{tc.registry: caFile(t)}, time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		if own := s.For(tc.host).TLSClientConfig.RootCAs != nil; own != tc.own {
			t.Errorf("authorities of %s for requests to %s: %t, want %t", tc.registry, tc.host, own, tc.own)
		}
		s.CloseIdle()
	}
}

func TestNewSetRefuses(t *testing.T) {
	ca := caFile(t)
	for want, files := range map[string]map[string]string{
		"must be a registry's host":    {"https://ghcr.io": ca},
		`registry "" must be`:          {"": ca},
		"registry ghcr.io: reading":    {"ghcr.io": "/does/not/exist"},
		"twice: it is index.docker.io": {"docker.io": ca, "index.docker.io": ca},
	} {
		if _, err := transport.NewSet(files, time.Second, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}
