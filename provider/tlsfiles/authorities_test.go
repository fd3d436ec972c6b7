package tlsfiles_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/tlsfiles"
	"github.com/imagegate/imagegate/provider/tlsfiles/tlstest"
)

// signed is a server with a certificate of an authority, and the authority's PEM.
func signed(t *testing.T, name string) (*httptest.Server, []byte) {
	t.Helper()
	dir := tlstest.NewCA(t, name).Directory(t, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return s, ca
}

// TestAuthoritiesAreFollowed: what a scanner or a registry is trusted by changes
// without a restart, for connections that are open already too, and a file that
// is missing, empty or half-written changes nothing.
func TestAuthoritiesAreFollowed(t *testing.T) {
	one, oneCA := signed(t, "one")
	two, twoCA := signed(t, "two")
	file := filepath.Join(t.TempDir(), "ca.pem")
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(oneCA)
	var log bytes.Buffer
	a, err := tlsfiles.NewAuthorities("scanner.harbor.caFile", file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	tr := tlsfiles.NewTransport(a, func(roots *x509.CertPool) *http.Transport {
		return &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}}
	})
	defer tr.CloseIdleConnections()
	trusted := func(s *httptest.Server) bool {
		resp, err := (&http.Client{Transport: tr}).Get(s.URL)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return true
	}
	for _, step := range []struct {
		name     string
		do       func()
		one, two bool
		told     string
	}{
		{"at first", func() {}, true, false, ""},
		{"empty", func() { put(nil) }, true, false, "holds no PEM certificate"},
		{"missing", func() { _ = os.Remove(file) }, true, false, "no such file"},
		{"half-written", func() { put(append(bytes.Clone(twoCA), oneCA[:len(oneCA)/2]...)) }, true, false, "cut off"},
		{"changed", func() { put(twoCA) }, false, true, "loaded"},
		{"both", func() { put(append(bytes.Clone(twoCA), oneCA...)) }, true, true, "loaded"},
	} {
		step.do()
		log.Reset()
		a.Refresh()
		if got := trusted(one); got != step.one {
			t.Errorf("%s: the first server is trusted: %t", step.name, got)
		}
		if got := trusted(two); got != step.two {
			t.Errorf("%s: the second server is trusted: %t", step.name, got)
		}
		said := log.String()
		if (said == "") != (step.told == "") || !strings.Contains(said, step.told) || said != "" && !strings.Contains(said, "setting=scanner.harbor.caFile") {
			t.Errorf("%s: the log says %q, want %q", step.name, said, step.told)
		}
	}
}

func TestNewAuthoritiesRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{"missing": "no such file", "authorities_test.go": "holds no PEM certificate"} {
		file := filepath.Join(dir, name)
		if strings.HasSuffix(name, ".go") {
			file = name
		}
		if _, err := tlsfiles.NewAuthorities("a", file, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v lacks %q", name, err, want)
		}
	}
	if a, err := tlsfiles.NewAuthorities("a", "", nil); a != nil || err != nil || a.Pool() != nil {
		t.Errorf("without a file: %v, %v", a, err)
	}
}
