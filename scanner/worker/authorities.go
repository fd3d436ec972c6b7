package worker

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/imagegate/imagegate/scanner/internal/hosts"
)

// authorities are the certificate authorities of single registries. Their files
// are read for each scan, so that a new one counts at once; while one cannot be
// read, or is half written, the last good one stays in use.
type authorities struct {
	files map[string]string // by canonical host
	log   *slog.Logger

	mu   sync.Mutex
	good map[string]string // PEM, by canonical host
}

// maxAuthorities is the size that no bundle of certificates has.
const maxAuthorities = 4 << 20

// newAuthorities wants every file to be good at the start. Errors name the
// registry.
func newAuthorities(files map[string]string, log *slog.Logger) (*authorities, error) {
	a := &authorities{files: map[string]string{}, log: log, good: map[string]string{}}
	for registry, file := range files {
		host, err := registryHost(registry)
		if err != nil {
			return nil, err
		}
		if a.files[host] != "" {
			return nil, fmt.Errorf("the registry %s is there twice", host)
		}
		pem, err := readAuthorities(file)
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w", registry, err)
		}
		a.files[host], a.good[host] = file, pem
	}
	return a, nil
}

func registryHost(registry string) (string, error) {
	if registry == "" || strings.ContainsAny(registry, "/ @?#") {
		return "", fmt.Errorf("%q is not a registry's host[:port]", registry)
	}
	return hosts.Canonical("https", registry), nil
}

func readAuthorities(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	pem, err := io.ReadAll(io.LimitReader(f, maxAuthorities+1))
	switch {
	case err != nil:
		return "", err
	case len(pem) > maxAuthorities:
		return "", fmt.Errorf("%s is larger than %d bytes", file, maxAuthorities)
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		return "", errors.New(file + " holds no PEM certificate")
	case bytes.Count(pem, []byte("-----BEGIN CERTIFICATE-----")) != bytes.Count(pem, []byte("-----END CERTIFICATE-----")):
		return "", errors.New("a certificate in " + file + " is cut off")
	}
	return string(pem), nil
}

// all returns the PEM of each host that has some of its own.
func (a *authorities) all() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]string, len(a.files))
	for host, file := range a.files {
		pem, err := readAuthorities(file)
		if err != nil {
			a.log.Warn("a registry's certificate authorities cannot be read; the last good ones stay in use", "registry", host, "error", err)
			pem = a.good[host]
		}
		a.good[host], out[host] = pem, pem
	}
	return out
}
