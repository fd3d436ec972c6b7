package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Leaf is a certificate chain with its key, PEM.
type Leaf struct {
	Cert, Key []byte
}

// Equal reports whether both are the same.
func (l Leaf) Equal(o Leaf) bool { return bytes.Equal(l.Cert, o.Cert) && bytes.Equal(l.Key, o.Key) }

// NotYetError says why a leaf is not served, and from when it may be; zero: when
// the record has changed.
type NotYetError struct {
	Reason string
	At     time.Time
}

func (e *NotYetError) Error() string { return e.Reason }

// Serve returns nil when the leaf may be served: clients that look at what was
// published verify it. serving says that another leaf is served meanwhile. Without
// one there is nothing to lose by the first authority's leaf, so it is served as
// soon as it is published.
func (p Plan) Serve(r Record, leaf Leaf, serving bool, now time.Time) error {
	pair, err := tls.X509KeyPair(leaf.Cert, leaf.Key)
	if err != nil {
		return fmt.Errorf("the certificate cannot be used: %w", err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("the certificate ended at %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	intermediates := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(c)
		}
	}
	first := !serving && len(r.Authorities) == 1
	notYet := &NotYetError{Reason: "no published CA bundle verifies the new certificate yet"}
	for _, a := range r.Authorities {
		if a.Published.IsZero() || !signs(a.PEM, intermediates, pair.Leaf, now) {
			continue
		}
		at := a.Published.Add(p.Propagation)
		if first || !now.Before(at) {
			return nil
		}
		if notYet.At.IsZero() || at.Before(notYet.At) {
			notYet.At = at
			notYet.Reason = fmt.Sprintf("the CA bundle that verifies the new certificate was published at %s: it is served from %s on",
				a.Published.Format(time.RFC3339), at.Format(time.RFC3339))
		}
	}
	return notYet
}

func signs(authority string, intermediates *x509.CertPool, leaf *x509.Certificate, now time.Time) bool {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(authority)) {
		return false
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// Clients are the bundles that verify somebody's client certificates, newest
// first: whoever rotates an authority presents certificates of the one before for
// a while.
type Clients struct {
	Bundles []string `json:"bundles"`
}

// maxClients is how many of them count.
const maxClients = 2

// Follow returns what counts once bundle is the newest. A bundle that is empty or
// cannot be read is an error, and changes nothing.
func (c Clients) Follow(bundle []byte) (Clients, error) {
	if len(bundle) == 0 {
		return c, errors.New("the CA bundle is empty")
	}
	texts, err := split(bundle)
	if err != nil {
		return c, err
	}
	var b bytes.Buffer
	for _, t := range texts {
		b.WriteString(t)
	}
	next := []string{b.String()}
	for _, old := range c.Bundles {
		if old != next[0] && len(next) < maxClients {
			next = append(next, old)
		}
	}
	return Clients{Bundles: next}, nil
}

// PEM is the union.
func (c Clients) PEM() []byte {
	var b bytes.Buffer
	for _, t := range c.Bundles {
		b.WriteString(t)
	}
	return b.Bytes()
}
