package tlsfiles

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/imagegate/imagegate/provider/filewatch"
)

// Authorities are the certificate authorities in a file that are trusted beside
// the system's. Nil stands for the system's alone.
type Authorities struct {
	*filewatch.Setting[*x509.CertPool]
}

// NewAuthorities reads a PEM bundle as filewatch.NewSetting does. Without a file
// there are none: nil.
func NewAuthorities(name, file string, log *slog.Logger) (*Authorities, error) {
	if file == "" {
		return nil, nil
	}
	s, err := filewatch.NewSetting(name, file, log, besideSystem)
	if err != nil {
		return nil, err
	}
	return &Authorities{s}, nil
}

func besideSystem(b []byte) (*x509.CertPool, error) {
	certs, err := parseCertificates(b)
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	if len(certs) == 0 {
		return nil, errors.New("holds no PEM certificate")
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

// Pool returns the authorities as tls.Config.RootCAs wants them. It is another
// one after each change of the file.
func (a *Authorities) Pool() *x509.CertPool {
	if a == nil {
		return nil
	}
	return a.Get()
}

// Transport sends requests with the authorities as they are now. It is safe for
// concurrent use.
//
// A tls.Config that is in use must not change, so there is an http.Transport for
// each state of the file. Connections made by an older one end with the request
// that is under way on them.
type Transport struct {
	authorities *Authorities
	build       func(*x509.CertPool) *http.Transport

	mu      sync.Mutex
	roots   *x509.CertPool
	current *http.Transport
}

// NewTransport returns what sends requests over the transports that build makes.
func NewTransport(a *Authorities, build func(roots *x509.CertPool) *http.Transport) *Transport {
	roots := a.Pool()
	return &Transport{authorities: a, build: build, roots: roots, current: build(roots)}
}

// Current returns the transport to use for the next request.
func (t *Transport) Current() *http.Transport {
	roots := t.authorities.Pool()
	t.mu.Lock()
	defer t.mu.Unlock()
	if roots != t.roots {
		t.current.CloseIdleConnections()
		t.roots, t.current = roots, t.build(roots)
	}
	return t.current
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.Current().RoundTrip(req)
}

// CloseIdleConnections drops the connections that nothing is sent over.
func (t *Transport) CloseIdleConnections() { t.Current().CloseIdleConnections() }
