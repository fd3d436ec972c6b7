// Package selfsigned makes the certificates of a provider that was given none,
// so that the first run on a laptop has the same mutual TLS as a cluster.
package selfsigned

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The files that Ensure makes in its folder.
const (
	CAFile         = "ca.crt"
	ServerCertFile = "server.crt"
	ServerKeyFile  = "server.key"
	ClientCertFile = "client.crt"
	ClientKeyFile  = "client.key"
)

// validity is short enough that nobody runs a cluster on it unawares, and
// renewBefore makes a start replace what would end within days.
const (
	validity    = 90 * 24 * time.Hour
	renewBefore = 14 * 24 * time.Hour
)

// Ensure makes a CA and certificates for a server on loopback and for one
// client, unless dir holds valid ones from an earlier start. The CA's key is
// not kept: nothing else can ever be signed with it.
func Ensure(dir string, now time.Time) error {
	fresh, err := current(dir, now)
	if err != nil || fresh {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the certificate folder: %w", err)
	}
	ca, caKey, err := newCA(now)
	if err != nil {
		return fmt.Errorf("making the CA: %w", err)
	}
	server := template("imagegate-provider", now, x509.ExtKeyUsageServerAuth)
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	client := template("imagegate-client", now, x509.ExtKeyUsageClientAuth)
	if err := issue(dir, ServerCertFile, ServerKeyFile, server, ca, caKey); err != nil {
		return err
	}
	if err := issue(dir, ClientCertFile, ClientKeyFile, client, ca, caKey); err != nil {
		return err
	}
	// The CA comes last: without it current finds the folder unfinished.
	return writePEM(filepath.Join(dir, CAFile), "CERTIFICATE", ca.Raw, 0o644)
}

// current reports whether dir holds a CA and certificates signed by it that
// last long enough.
func current(dir string, now time.Time) (bool, error) {
	ca, err := os.ReadFile(filepath.Join(dir, CAFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the CA made earlier: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return false, nil
	}
	for _, file := range []string{ServerCertFile, ClientCertFile} {
		if !signedBy(roots, filepath.Join(dir, file), now.Add(renewBefore)) {
			return false, nil
		}
	}
	return true, nil
}

// signedBy reports whether file is a certificate that verifies against roots.
// One that cannot be read is no better than a missing one: both are made anew.
func signedBy(roots *x509.CertPool, file string, at time.Time) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func newCA(now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := template("imagegate self-signed CA", now)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, err
}

func template(name string, now time.Time, usage ...x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetInt64(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // clocks of clients may be behind
		NotAfter:     now.Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  usage,
	}
}

func issue(dir, certFile, keyFile string, t, ca *x509.Certificate, caKey *ecdsa.PrivateKey) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of %s: %w", t.Subject.CommonName, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, key.Public(), caKey)
	if err != nil {
		return fmt.Errorf("signing the certificate of %s: %w", t.Subject.CommonName, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the key of %s: %w", t.Subject.CommonName, err)
	}
	if err := writePEM(filepath.Join(dir, keyFile), "PRIVATE KEY", keyDER, 0o600); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, certFile), "CERTIFICATE", der, 0o644)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, b, mode); err != nil {
		return fmt.Errorf("writing a certificate file: %w", err)
	}
	return nil
}
