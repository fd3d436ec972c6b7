package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"
)

// Authority is one CA and how far it has come.
type Authority struct {
	// PEM is the certificate, alone.
	PEM string `json:"pem"`
	// Published is since when every place where clients look has it; zero: not yet.
	Published time.Time `json:"published,omitzero"`
	// Retired is since when nothing is signed by it; zero: it is in use.
	Retired time.Time `json:"retired,omitzero"`
}

// Record is what there is of authorities, newest first. It is kept where all
// replicas read it.
type Record struct {
	Authorities []Authority `json:"authorities"`
}

// maxAuthorities bounds a record: a source that changes its CA all the time must
// not fill the objects that the bundle is written to.
const maxAuthorities = 16

// Bundle is what is to be published: all authorities, PEM.
func (r Record) Bundle() []byte {
	var b strings.Builder
	for _, a := range r.Authorities {
		b.WriteString(a.PEM)
	}
	return []byte(b.String())
}

// Plan says how long the steps take.
type Plan struct {
	// Propagation is how long clients may take to use a bundle after it was
	// published: Gatekeeper and the API server watch the objects.
	Propagation time.Duration
	// Overlap is how long an authority stays published after the last leaf of it was
	// replaced.
	Overlap time.Duration
}

// Step returns the record after r. current is what is in use now by the source of
// certificates, PEM; published says that every place has r's bundle. again is when
// there is something to do without anything else happening; zero: never. An error
// says that current cannot be used: the record is the one before.
func (p Plan) Step(r Record, current []byte, published bool, now time.Time) (next Record, again time.Time, err error) {
	inUse, err := split(current)
	if err != nil {
		return r, time.Time{}, err
	}
	next.Authorities = slices.Clone(r.Authorities)
	if published {
		for i := range next.Authorities {
			if next.Authorities[i].Published.IsZero() {
				next.Authorities[i].Published = now
			}
		}
	}
	ready := true
	for _, text := range slices.Backward(inUse) {
		i := slices.IndexFunc(next.Authorities, func(a Authority) bool { return a.PEM == text })
		if i < 0 {
			next.Authorities = slices.Insert(next.Authorities, 0, Authority{PEM: text})
			i = 0
		}
		next.Authorities[i].Retired = time.Time{}
		ready = ready && !next.Authorities[i].Published.IsZero()
	}
	kept := next.Authorities[:0]
	for i, a := range next.Authorities {
		if !slices.Contains(inUse, a.PEM) {
			// Until its successor is published, leaves of it are what is served.
			if a.Retired.IsZero() && ready {
				a.Retired = now
			}
			end := a.Retired.Add(p.Overlap)
			if !a.Retired.IsZero() && !now.Before(end) || i >= maxAuthorities || expired(a.PEM, now) {
				continue
			}
			if !a.Retired.IsZero() && (again.IsZero() || end.Before(again)) {
				again = end
			}
		}
		kept = append(kept, a)
	}
	next.Authorities = kept
	return next, again, nil
}

// expired says that no leaf of the authority can be valid.
func expired(text string, now time.Time) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return true
	}
	c, err := x509.ParseCertificate(block.Bytes)
	return err != nil || now.After(c.NotAfter)
}

// split returns each certificate of a PEM bundle, written in one form.
func split(bundle []byte) (texts []string, err error) {
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, errors.New("the CA bundle has a certificate that cannot be read: " + err.Error())
		}
		text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	switch {
	case len(texts) == 0:
		return nil, errors.New("the CA bundle holds no PEM certificate")
	case bytes.Count(bundle, []byte("-----BEGIN CERTIFICATE-----")) > bytes.Count(bundle, []byte("-----END CERTIFICATE-----")):
		return nil, errors.New("the CA bundle is cut off")
	case len(texts) > maxAuthorities:
		return nil, errors.New("the CA bundle has more than 16 certificates")
	}
	return texts, nil
}
