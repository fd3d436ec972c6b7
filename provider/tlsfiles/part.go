package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/filewatch"
)

// loaded is one successfully parsed state of a part.
type loaded[T any] struct {
	value T
	// expires is when the first certificate in value stops being valid.
	expires time.Time
}

// part is one such state and the files it comes from.
type part[T any] struct {
	*filewatch.Content[loaded[T]]
}

func newPart[T any](name string, files []string, parse func(contents [][]byte) (loaded[T], error)) *part[T] {
	return &part[T]{filewatch.New(name, files, parse)}
}

func (p *part[T]) get() (loaded[T], error)           { return p.Get() }
func (p *part[T]) reload() (changed bool, err error) { return p.Reload() }
func (p *part[T]) failing() bool                     { return p.Failing() }
func (p *part[T]) label() string                     { return p.Name() }
func (p *part[T]) paths() []string                   { return p.Files() }

func (p *part[T]) expiry() (time.Time, bool) {
	v, err := p.get()
	return v.expires, err == nil
}

func (p *part[T]) ready() error {
	_, err := p.get()
	return err
}

func keyPair(certFile, keyFile string) *part[*tls.Certificate] {
	return newPart("certificate", []string{certFile, keyFile}, func(contents [][]byte) (loaded[*tls.Certificate], error) {
		cert, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return loaded[*tls.Certificate]{}, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
		}
		return loaded[*tls.Certificate]{value: &cert, expires: cert.Leaf.NotAfter}, nil
	})
}

func authority(file string) *part[*x509.CertPool] {
	return newPart("CA bundle", []string{file}, func(contents [][]byte) (loaded[*x509.CertPool], error) {
		pool, expires, err := parsePool(contents[0])
		if err != nil {
			return loaded[*x509.CertPool]{}, fmt.Errorf("%s: %w", file, err)
		}
		return loaded[*x509.CertPool]{value: pool, expires: expires}, nil
	})
}

// parsePool reads every certificate of a PEM bundle. Unlike
// CertPool.AppendCertsFromPEM it refuses a bundle with a broken certificate
// rather than trusting the rest of it silently.
func parsePool(pemBytes []byte) (*x509.CertPool, time.Time, error) {
	certs, err := parseCertificates(pemBytes)
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(certs) == 0 {
		return nil, time.Time{}, errors.New("no certificate in it")
	}
	pool := x509.NewCertPool()
	expires := certs[0].NotAfter
	for _, c := range certs {
		pool.AddCert(c)
		if c.NotAfter.Before(expires) {
			expires = c.NotAfter
		}
	}
	return pool, expires, nil
}
