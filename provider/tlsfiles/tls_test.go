package tlsfiles_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/imagegate/imagegate/provider/tlsfiles"
	"github.com/imagegate/imagegate/provider/tlsfiles/tlstest"
)

// dir writes files by atomic rename.
type dir string

func (d dir) file(name string) string { return filepath.Join(string(d), name) }

func (d dir) put(t *testing.T, name string, content []byte) {
	t.Helper()
	temporary := d.file(name + ".new")
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, d.file(name)); err != nil {
		t.Fatal(err)
	}
}

func (d dir) putPair(t *testing.T, a *tlstest.CA, name string) {
	t.Helper()
	cert, key := a.Issue(t, name)
	d.put(t, "tls.crt", cert)
	d.put(t, "tls.key", key)
}

// project lays dir out as the kubelet does: name -> ..data/name, and ..data ->
// a folder made for this version, swapped by renaming a symlink.
func (d dir) project(t *testing.T, version string, files map[string][]byte) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(d.file(version), 0o700))
	for name, content := range files {
		must(os.WriteFile(filepath.Join(d.file(version), name), content, 0o600))
	}
	must(os.Symlink(version, d.file("..data_tmp")))
	old, _ := os.Readlink(d.file("..data"))
	must(os.Rename(d.file("..data_tmp"), d.file("..data")))
	for name := range files {
		if _, err := os.Lstat(d.file(name)); errors.Is(err, os.ErrNotExist) {
			must(os.Symlink(filepath.Join("..data", name), d.file(name)))
		}
	}
	if old != "" {
		must(os.RemoveAll(d.file(old)))
	}
}

// start runs a follower until the test ends.
func start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
}

// serve answers with the client's name over the server's TLS.
func serve(t *testing.T, s *tlsfiles.Server) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{
		TLSConfig: s.Config(),
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) > 0 {
				_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
			}
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = h.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = h.Close() })
	return "https://" + l.Addr().String()
}

// get makes one request on a new connection: the server's and the client's
// names as the other side verified them.
func get(t *testing.T, c *tlsfiles.Client, url string) (server, client string, err error) {
	t.Helper()
	h := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialTLSContext: c.DialTLS, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.Do(req)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.TLS.PeerCertificates[0].Subject.CommonName, string(b), err
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	// Far below the poll interval of ten seconds twice over: events must do it.
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

func serverFiles(d dir) tlsfiles.ServerFiles {
	return tlsfiles.ServerFiles{CertFile: d.file("tls.crt"), KeyFile: d.file("tls.key"), ClientCAFile: d.file("ca.crt"), RequireClientCert: true}
}

func clientFiles(d dir) tlsfiles.ClientFiles {
	return tlsfiles.ClientFiles{CertFile: d.file("tls.crt"), KeyFile: d.file("tls.key"), CAFile: d.file("ca.crt")}
}

// pair lays out a server's and a client's directory that trust each other.
func pair(t *testing.T) (authority *tlstest.CA, server, client dir) {
	t.Helper()
	authority, server, client = tlstest.NewCA(t, "first CA"), dir(t.TempDir()), dir(t.TempDir())
	for d, name := range map[dir]string{server: "server 1", client: "client 1"} {
		d.put(t, "ca.crt", authority.PEM)
		d.putPair(t, authority, name)
	}
	return authority, server, client
}

func TestMutualTLS(t *testing.T) {
	_, sd, cd := pair(t)
	s := tlsfiles.NewServer(serverFiles(sd), nil)
	c := tlsfiles.NewClient(clientFiles(cd), nil)
	if err := errors.Join(s.Ready(), c.Ready()); err != nil {
		t.Fatal(err)
	}
	url := serve(t, s)
	if server, client, err := get(t, c, url); err != nil || server != "server 1" || client != "client 1" {
		t.Fatalf("got %q, %q, %v", server, client, err)
	}

	anonymous := tlsfiles.NewClient(tlsfiles.ClientFiles{CAFile: cd.file("ca.crt")}, nil)
	if _, _, err := get(t, anonymous, url); err == nil {
		t.Error("a client without a certificate was served")
	}
	stranger := dir(t.TempDir())
	stranger.put(t, "ca.crt", tlstest.NewCA(t, "other CA").PEM)
	stranger.putPair(t, tlstest.NewCA(t, "other CA"), "stranger")
	if _, _, err := get(t, tlsfiles.NewClient(clientFiles(stranger), nil), url); err == nil {
		t.Error("a client with another CA accepted the server")
	}
	impostor := clientFiles(stranger)
	impostor.CAFile = cd.file("ca.crt")
	if _, _, err := get(t, tlsfiles.NewClient(impostor, nil), url); err == nil {
		t.Error("the server accepted a client of another CA")
	}
	if _, _, err := get(t, c, strings.Replace(url, "127.0.0.1", "localhost", 1)); err == nil {
		t.Error("the client accepted a certificate for another host name")
	}
}

func TestMinimumVersion(t *testing.T) {
	_, sd, cd := pair(t)
	handshake := func(url string) error {
		config, err := tlsfiles.NewClient(clientFiles(cd), nil).Config("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		d := tls.Dialer{Config: config}
		conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	files := serverFiles(sd)
	if err := handshake(serve(t, tlsfiles.NewServer(files, nil))); err == nil {
		t.Error("TLS 1.2 was accepted by default")
	}
	files.MinVersion = tls.VersionTLS12
	if err := handshake(serve(t, tlsfiles.NewServer(files, nil))); err != nil {
		t.Errorf("TLS 1.2 where it is allowed: %v", err)
	}
}

func TestRotationByRename(t *testing.T) {
	first, sd, cd := pair(t)
	s, c := tlsfiles.NewServer(serverFiles(sd), nil), tlsfiles.NewClient(clientFiles(cd), nil)
	start(t, s.Start)
	start(t, c.Start)
	url := serve(t, s)

	sd.putPair(t, first, "server 2")
	cd.putPair(t, first, "client 2")
	eventually(t, "both new certificates in use", func() bool {
		server, client, err := get(t, c, url)
		return err == nil && server == "server 2" && client == "client 2"
	})

	// A new CA on both sides, bundles first, as a careful rotation does it.
	second := tlstest.NewCA(t, "second CA")
	both := append(bytes.Clone(first.PEM), second.PEM...)
	sd.put(t, "ca.crt", both)
	cd.put(t, "ca.crt", both)
	sd.putPair(t, second, "server 3")
	cd.putPair(t, second, "client 3")
	eventually(t, "certificates of the new CA in use", func() bool {
		server, client, err := get(t, c, url)
		return err == nil && server == "server 3" && client == "client 3"
	})

	// The old CA leaves: its clients must no longer be served.
	sd.put(t, "ca.crt", second.PEM)
	old := dir(t.TempDir())
	old.put(t, "ca.crt", both)
	old.putPair(t, first, "old client")
	oldClient := tlsfiles.NewClient(clientFiles(old), nil)
	eventually(t, "clients of the old CA refused", func() bool {
		_, _, err := get(t, oldClient, url)
		return err != nil
	})
	if _, _, err := get(t, c, url); err != nil {
		t.Errorf("clients of the new CA: %v", err)
	}
}

func TestRotationBySymlinkSwap(t *testing.T) {
	authority, _, cd := pair(t)
	version := func(name string) map[string][]byte {
		cert, key := authority.Issue(t, name)
		return map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": authority.PEM}
	}
	sd := dir(t.TempDir())
	sd.project(t, "..v1", version("server 1"))
	s, c := tlsfiles.NewServer(serverFiles(sd), nil), tlsfiles.NewClient(clientFiles(cd), nil)
	start(t, s.Start)
	url := serve(t, s)
	for _, v := range []string{"2", "3"} {
		sd.project(t, "..v"+v, version("server "+v))
		eventually(t, "version "+v+" in use", func() bool {
			server, _, err := get(t, c, url)
			return err == nil && server == "server "+v
		})
	}
}

func TestBrokenFilesKeepTheOldOnes(t *testing.T) {
	authority, sd, cd := pair(t)
	var log syncBuffer
	s := tlsfiles.NewServer(serverFiles(sd), slog.New(slog.NewJSONHandler(&log, nil)))
	c := tlsfiles.NewClient(clientFiles(cd), nil)
	start(t, s.Start)
	url := serve(t, s)

	_, otherKey := authority.Issue(t, "other")
	sd.put(t, "tls.key", otherKey)
	sd.put(t, "ca.crt", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	eventually(t, "both errors logged", func() bool {
		out := log.String()
		return strings.Contains(out, "private key does not match") && strings.Contains(out, "certificate 1 of the bundle")
	})
	if server, _, err := get(t, c, url); err != nil || server != "server 1" {
		t.Errorf("with broken files: %q, %v", server, err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("Ready with the old files in use: %v", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)
	const failing = `
# HELP imagegate_tls_reload_failing 1 while the files cannot be used and older content stays in use.
# TYPE imagegate_tls_reload_failing gauge
imagegate_tls_reload_failing{part="CA bundle",side="server"} 1
imagegate_tls_reload_failing{part="certificate",side="server"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(failing), "imagegate_tls_reload_failing"); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "private key does not match"); n != 1 {
		t.Errorf("the same error is logged %d times", n)
	}

	sd.put(t, "ca.crt", authority.PEM)
	sd.putPair(t, authority, "server 2")
	eventually(t, "the repaired certificate in use", func() bool {
		server, _, err := get(t, c, url)
		return err == nil && server == "server 2"
	})
}

func TestFilesMayComeLater(t *testing.T) {
	authority, _, cd := pair(t)
	sd := dir(t.TempDir())
	s, c := tlsfiles.NewServer(serverFiles(sd), nil), tlsfiles.NewClient(clientFiles(cd), nil)
	start(t, s.Start)
	url := serve(t, s)
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("Ready without files: %v, want the file named", err)
	}
	if _, _, err := get(t, c, url); err == nil {
		t.Error("served without a certificate")
	}
	sd.putPair(t, authority, "server 1")
	eventually(t, "the certificate loaded", func() bool {
		err := s.Ready()
		return err != nil && !strings.Contains(err.Error(), "tls.crt")
	})
	if _, _, err := get(t, c, url); err == nil {
		t.Error("served without the CA that clients must verify against")
	}
	sd.put(t, "ca.crt", authority.PEM)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	if _, _, err := get(t, c, url); err != nil {
		t.Errorf("once the files are there: %v", err)
	}
}

func TestClientWithoutItsFilesDialsNothing(t *testing.T) {
	_, sd, _ := pair(t)
	url := serve(t, tlsfiles.NewServer(serverFiles(sd), nil))
	c := tlsfiles.NewClient(clientFiles(dir(t.TempDir())), nil)
	if _, _, err := get(t, c, url); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("error %v does not name the file", err)
	}
}

func TestExpiryMetric(t *testing.T) {
	_, sd, cd := pair(t)
	registry := prometheus.NewRegistry()
	registry.MustRegister(tlsfiles.NewServer(serverFiles(sd), nil), tlsfiles.NewClient(clientFiles(cd), nil))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		if f.GetName() != "imagegate_tls_expiry_timestamp_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			seen++
			left := time.Until(time.Unix(int64(m.GetGauge().GetValue()), 0))
			if left < 25*time.Minute || left > time.Hour {
				t.Errorf("%v expires in %s", m.GetLabel(), left)
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d expiry metrics, want certificate and CA bundle of both sides", seen)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
