package health_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/health"
	"github.com/imagegate/imagegate/provider/tlsfiles/tlstest"
)

func handler(ready bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			http.Error(w, "not ready\nstore: it is being opened", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\nstore: ok\n"))
	})
	return mux
}

// serve serves with the certificate in dir; none is plain HTTP.
func serve(t *testing.T, h http.Handler, dir string) health.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	asked := health.Server{Listen: s.Listener.Addr().String(), Setting: "server.listen"}
	if dir == "" {
		s.Start()
	} else {
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
		s.Config.ErrorLog = nil
		s.StartTLS()
		asked.CertFile, asked.CertSetting = filepath.Join(dir, "tls.crt"), "server.tls.certFile"
	}
	t.Cleanup(s.Close)
	return asked
}

func TestReady(t *testing.T) {
	dir := tlstest.NewCA(t, "CA").Directory(t, "server")
	for _, dir := range []string{"", dir} {
		if said, err := serve(t, handler(true), dir).Ready(t.Context()); err != nil || said != "ready\nstore: ok" {
			t.Errorf("%q %v", said, err)
		}
		s := serve(t, handler(false), dir)
		if said, err := s.Ready(t.Context()); err == nil || !strings.Contains(said, "store: it is being opened") {
			t.Errorf("not ready: %q %v", said, err)
		}
		if said, err := s.Live(t.Context()); err != nil || said != "ok" {
			t.Errorf("live: %q %v", said, err)
		}
	}
}

// Who answers must have the key of the certificate in the file, even where another
// of the same authority's has the same names.
func TestAnotherCertificateIsNotBelieved(t *testing.T) {
	ca := tlstest.NewCA(t, "CA")
	s := serve(t, handler(true), ca.Directory(t, "server"))
	s.CertFile = filepath.Join(ca.Directory(t, "server"), "tls.crt")
	_, err := s.Ready(t.Context())
	if err == nil || !strings.Contains(err.Error(), "(server.tls.certFile)") || !strings.Contains(err.Error(), "(server.listen)") {
		t.Errorf("%v", err)
	}
	if said, err := s.Live(t.Context()); err != nil || said != "ok" {
		t.Errorf("it lives all the same: %q %v", said, err)
	}
}

func TestMistakesNameTheSetting(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	for _, tc := range []struct {
		server health.Server
		want   string
	}{
		{health.Server{Listen: nobody, Setting: "server.probes"}, "nothing answers at " + nobody + " (server.probes)"},
		{health.Server{Listen: "x", Setting: "server.listen"}, "server.listen"},
		{health.Server{Listen: nobody, Setting: "l", CertFile: "/none", CertSetting: "server.tls.certFile"}, "server.tls.certFile: open /none"},
		{health.Server{Listen: nobody, Setting: "l", CertFile: empty, CertSetting: "server.tls.certFile"}, "holds no PEM certificate"},
	} {
		if _, err := tc.server.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %q", err, tc.want)
		}
	}
}

func TestAnUnspecifiedAddressIsThisMachine(t *testing.T) {
	s := serve(t, handler(true), "")
	_, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "0.0.0.0"} {
		s.Listen = host + ":" + port
		if _, err := s.Ready(t.Context()); err != nil {
			t.Errorf("%s: %v", s.Listen, err)
		}
	}
}
