// Package transporttest is a registry that lets in whoever has a token of a
// token server at another private address, for the tests of all that speak to
// registries.
package transporttest

import (
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imagegate/imagegate/provider/registry/transport"
)

// Door is the registry and its token server, both over TLS on loopback.
type Door struct {
	Registry, Tokens *httptest.Server
	// Asked is how often a token was asked for.
	Asked atomic.Int32
}

// What opens the token server.
const (
	User     = "puller"
	Password = "hunter2"

	token = "a-token"
)

// NewDoor stands before a registry.
func NewDoor(t testing.TB, inside http.Handler) *Door {
	t.Helper()
	d := &Door{}
	d.Tokens = server(t, func(w http.ResponseWriter, req *http.Request) {
		d.Asked.Add(1)
		if user, password, _ := req.BasicAuth(); user != User || password != Password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"token":"`+token+`"}`)
	})
	d.Registry = server(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer "+token {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+d.Tokens.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inside.ServeHTTP(w, req)
	})
	return d
}

func server(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// RegistryHost is the registry's host:port.
func (d *Door) RegistryHost() string { return strings.TrimPrefix(d.Registry.URL, "https://") }

// TokenHost is the token server's host:port.
func (d *Door) TokenHost() string { return strings.TrimPrefix(d.Tokens.URL, "https://") }

// Hosts trusts both servers' certificates and lists these token servers.
func (d *Door) Hosts(t testing.TB, tokenHosts ...string) *transport.Hosts {
	t.Helper()
	files := map[string]string{}
	for _, s := range []*httptest.Server{d.Registry, d.Tokens} {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(s.URL, "https://")] = path
	}
	h, err := transport.NewHosts(files, tokenHosts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
