package imagescan

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// The nodes pull from a registry whose tokens are made at a private address;
// the worker gets a user and password, and has to fetch a token there itself.
func TestATokenServerWithAPrivateAddress(t *testing.T) {
	serve := func(h http.HandlerFunc) (*httptest.Server, string) {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s, strings.TrimPrefix(s.URL, "https://")
	}
	var asked, opened atomic.Int32
	tokens, tokensAt := serve(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if user, password, _ := r.BasicAuth(); user == "puller" && password == "hunter2" {
			_, _ = io.WriteString(w, `{"token":"a-token"}`)
		}
	})
	registry, at := serve(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer a-token" {
			w.Header().Set("WWW-Authenticate", `Bearer service="x",realm="`+tokens.URL+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		opened.Add(1)
		w.WriteHeader(http.StatusNotFound)
	})
	ca := func(s *httptest.Server) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c := range []struct {
		listed []string
		want   string
		asked  bool
	}{
		{nil, "registry.tokenHosts", false},
		{[]string{"127.0.0.1:1"}, "registry.tokenHosts", false},
		{[]string{"127.0.0.1:1", tokensAt}, "the registry has no ", true},
	} {
		asked.Store(0)
		opened.Store(0)
		_, err := pull(ctx, sandbox.Request{
			Registry: registry.URL, Repository: "app", Digest: "sha256:" + strings.Repeat("0", 64),
			Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("puller:hunter2")),
			Authorities:   map[string]string{at: ca(registry), tokensAt: ca(tokens)},
			TokenHosts:    c.listed,
			Limits:        sandbox.Limits{Stall: time.Minute},
		})
		err = registryFailure(err, "app")
		var f *failure.Failure
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.listed, err, c.want)
		}
		if got := asked.Load() > 0 && opened.Load() > 0; got != c.asked {
			t.Errorf("%q: the token server was asked %d times, the registry opened %d times", c.listed, asked.Load(), opened.Load())
		}
	}
}

func TestParseTokenHost(t *testing.T) {
	for s, want := range map[string]string{
		"10.0.0.5": "10.0.0.5", "10.0.0.5:443": "10.0.0.5", "10.0.0.5:5001": "10.0.0.5:5001",
		"[FD00::1]:5001": "[fd00::1]:5001", "[fd00:0::1]": "[fd00::1]",
		"": "", "auth.example.com": "", "https://10.0.0.5": "", "10.0.0.5/a": "", "a@10.0.0.5": "",
	} {
		got, err := ParseTokenHost(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v, want %q", s, got, err, want)
		}
	}
}
