package selfsigned_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/selfsigned"
)

func TestCertificatesServeMutualTLS(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	if err := selfsigned.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	server := loadPair(t, dir, selfsigned.ServerCertFile, selfsigned.ServerKeyFile)
	client := loadPair(t, dir, selfsigned.ClientCertFile, selfsigned.ClientKeyFile)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(t, dir, selfsigned.CAFile))

	a, b := net.Pipe()
	s := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	c := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: pool, ServerName: "127.0.0.1"})
	done := make(chan error, 1)
	go func() { done <- s.HandshakeContext(t.Context()) }()
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatalf("client: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("server: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, selfsigned.ServerKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is readable by others: %v %v", info.Mode(), err)
	}
}

func TestEnsureKeepsValidCertificatesAndRenewsOldOnes(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	ensure := func(at time.Time) []byte {
		t.Helper()
		if err := selfsigned.Ensure(dir, at); err != nil {
			t.Fatal(err)
		}
		return read(t, dir, selfsigned.ServerCertFile)
	}
	first := ensure(now)
	if again := ensure(now.Add(24 * time.Hour)); !bytes.Equal(first, again) {
		t.Error("a valid certificate was replaced")
	}
	later := ensure(now.Add(80 * 24 * time.Hour))
	if bytes.Equal(first, later) {
		t.Error("a certificate about to end was kept")
	}
	if err := os.WriteFile(filepath.Join(dir, selfsigned.ClientCertFile), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(later, ensure(now.Add(80*24*time.Hour))) {
		t.Error("a broken folder was kept")
	}
}

func loadPair(t *testing.T, dir, cert, key string) tls.Certificate {
	t.Helper()
	p, err := tls.LoadX509KeyPair(filepath.Join(dir, cert), filepath.Join(dir, key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, dir, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
