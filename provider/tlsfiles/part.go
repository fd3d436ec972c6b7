package tlsfiles

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// maxFileBytes bounds what is read of one file: a bundle of every public CA is
// about 250 KiB.
const maxFileBytes = 4 << 20

// loaded is one successfully parsed state of a part.
type loaded[T any] struct {
	value T
	// expires is when the first certificate in value stops being valid.
	expires time.Time
}

// part is a value parsed from one or more files that change together.
type part[T any] struct {
	name  string
	files []string
	parse func(contents [][]byte) (loaded[T], error)

	mu      sync.Mutex
	sum     [sha256.Size]byte
	current *loaded[T]
	err     error
}

// reload reads the files. It reports whether the value changed, and an error
// only the first time that one is seen, so that a file broken for an hour is
// one line in the log.
func (p *part[T]) reload() (changed bool, err error) {
	contents, err := readAll(p.files)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return false, p.fail(err)
	}
	sum := sha256.Sum256(bytes.Join(contents, []byte{0}))
	if p.current != nil && sum == p.sum {
		p.err = nil
		return false, nil
	}
	next, err := p.parse(contents)
	if err != nil {
		return false, p.fail(err)
	}
	p.sum, p.current, p.err = sum, &next, nil
	return true, nil
}

func (p *part[T]) fail(err error) error {
	err = fmt.Errorf("loading the %s: %w", p.name, err)
	if p.err != nil && p.err.Error() == err.Error() {
		return nil
	}
	p.err = err
	return err
}

// get returns the value in use, or why there is none.
func (p *part[T]) get() (loaded[T], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		return *p.current, nil
	}
	if p.err != nil {
		return loaded[T]{}, p.err
	}
	return loaded[T]{}, fmt.Errorf("the %s is not loaded yet", p.name)
}

// failing reports whether the files, as they are now, cannot be used.
func (p *part[T]) failing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

func (p *part[T]) label() string   { return p.name }
func (p *part[T]) paths() []string { return p.files }

func (p *part[T]) expiry() (time.Time, bool) {
	v, err := p.get()
	return v.expires, err == nil
}

func (p *part[T]) ready() error {
	_, err := p.get()
	return err
}

func readAll(files []string) ([][]byte, error) {
	contents := make([][]byte, len(files))
	for i, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
			return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", f, maxFileBytes)
		}
		if contents[i], err = os.ReadFile(f); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

func keyPair(certFile, keyFile string) *part[*tls.Certificate] {
	return &part[*tls.Certificate]{
		name:  "certificate",
		files: []string{certFile, keyFile},
		parse: func(contents [][]byte) (loaded[*tls.Certificate], error) {
			cert, err := tls.X509KeyPair(contents[0], contents[1])
			if err != nil {
				return loaded[*tls.Certificate]{}, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
			}
			return loaded[*tls.Certificate]{value: &cert, expires: cert.Leaf.NotAfter}, nil
		},
	}
}

func authority(file string) *part[*x509.CertPool] {
	return &part[*x509.CertPool]{
		name:  "CA bundle",
		files: []string{file},
		parse: func(contents [][]byte) (loaded[*x509.CertPool], error) {
			pool, expires, err := parsePool(contents[0])
			if err != nil {
				return loaded[*x509.CertPool]{}, fmt.Errorf("%s: %w", file, err)
			}
			return loaded[*x509.CertPool]{value: pool, expires: expires}, nil
		},
	}
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
