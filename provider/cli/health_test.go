package cli

import (
	"bytes"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imagegate/imagegate/provider/config"
)

func TestHealthSaysWhatTheProviderSaysOfItself(t *testing.T) {
	var asked atomic.Int32
	answer := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				http.NotFound(w, r)
				return
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text+"\n")
		}
	}
	soon := func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 2 {
			answer(http.StatusServiceUnavailable, "not ready\nstore: it is being opened")(w, r)
			return
		}
		answer(http.StatusOK, "ready\nstore: ok\ninstallation: ok")(w, r)
	}
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		args    []string
		code    int
		out     string
		err     string
	}{
		{"ready", answer(200, "ready\nstore: ok"), nil, 0, "ready\nstore: ok\n", ""},
		{"not ready", answer(503, "not ready\nstore: away"), nil, 1, "not ready\nstore: away\n", "not ready"},
		{"ready without what is needed", answer(200, "ready\ninstallation: not enforcing yet"), []string{"--need=installation"}, 1, "not enforcing", "installation: not enforcing yet"},
		{"silent about what is needed", answer(200, "ready"), []string{"--need=installation"}, 1, "ready", "says nothing of installation"},
		{"in a moment", soon, []string{"--need=installation", "--wait=30s"}, 0, "installation: ok", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := httptest.NewServer(tc.handler)
			defer s.Close()
			var stdout, stderr bytes.Buffer
			code := Main(append([]string{"health", "--url=" + s.URL}, tc.args...), &stdout, &stderr)
			if code != tc.code || !strings.Contains(stdout.String(), tc.out) || !strings.Contains(stderr.String(), tc.err) {
				t.Errorf("exit code %d, %q, %q; want %d, %q, %q", code, stdout.String(), stderr.String(), tc.code, tc.out, tc.err)
			}
		})
	}
}

func TestHealthVerifiesWhomItAsks(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ready") }))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--url=" + s.URL}, 1, "certificate"},
		{[]string{"--url=" + s.URL, "--ca=" + ca}, 0, ""},
		{[]string{"--url=" + s.URL, "--ca=missing"}, 2, "--ca"},
		{[]string{"--url=localhost:8443"}, 2, "--url"},
	} {
		var stdout, stderr bytes.Buffer
		if code := Main(append([]string{"health"}, tc.args...), &stdout, &stderr); code != tc.code || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%v: exit code %d, %q", tc.args, code, stderr.String())
		}
	}
}

// The certificate to be shown is the one that the process puts there for itself.
func TestHealthKnowsWhoseCertificateIsServed(t *testing.T) {
	for _, tc := range []struct {
		change func(*config.Config)
		file   string
	}{
		{func(c *config.Config) { c.Server.TLS.CertFile = "/tls/tls.crt" }, "/tls/tls.crt"},
		{func(*config.Config) {}, "/data/tls/server.crt"},
		{func(c *config.Config) { c.Install.Enabled = true }, "/data/tls/tls.crt"},
		{func(c *config.Config) { c.Install.Enabled, c.Install.Certificates.Dir = true, "/certs" }, "/certs/tls.crt"},
		{func(c *config.Config) { c.Server.Probes = ":8080" }, ""},
	} {
		c := config.Default()
		c.DataDir = "/data"
		tc.change(&c)
		if s, err := served(&c); err != nil || s.CertFile != tc.file {
			t.Errorf("%+v, %v; want %s", s, err, tc.file)
		}
	}
}

// Without a URL the provider is asked that serves here with the same configuration.
func TestHealthOfTheProviderOfAConfiguration(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ args, want []string }{
		{[]string{"--probes", address}, []string{"(server.probes)"}},
		{[]string{"--probes", address, "--live"}, []string{"(server.probes)"}},
		{[]string{"--listen", address, "--tls-cert", "/none"}, []string{"server.tls.certFile"}},
		{[]string{"--listen", address, "--data-dir", t.TempDir()}, []string{"dataDir", "server.crt"}},
		{[]string{"--listen", address, "--data-dir", t.TempDir(), "--live"}, []string{"(server.listen)"}},
	} {
		var stdout, stderr bytes.Buffer
		code := Main(append([]string{"health"}, tc.args...), &stdout, &stderr)
		for _, want := range tc.want {
			if code != 1 || !strings.Contains(stderr.String(), want) {
				t.Errorf("%v: exit code %d, %q does not say %s", tc.args, code, stderr.String(), want)
			}
		}
	}
}
