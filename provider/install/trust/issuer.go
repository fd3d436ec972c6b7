package trust

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
)

// Material is what an authority of our own is kept as.
type Material struct {
	CACert, CAKey []byte
	Leaf          Leaf
	// NextCert and NextKey are the CA that is published already and signs nothing
	// yet; empty: there is none.
	NextCert, NextKey []byte
}

// Authorities are the CAs that are to be published, PEM.
func (m Material) Authorities() []byte {
	return slices.Concat(m.CACert, m.NextCert)
}

// Issuer makes CAs and leaves. Keys and certificates are cert-controller's; its
// controller is not used, because it replaces CA and leaf at once, which denies
// Pods until the last client has heard of the new CA, and because it reads every
// Secret of its namespace.
type Issuer struct {
	// Names are the DNS names of the leaf, the first of which is its common name.
	Names []string
	// CAValidity and LeafValidity are how long they are valid. Both are replaced when
	// a third of that is left, or ninety days.
	CAValidity, LeafValidity time.Duration
}

// longestRenewal is how long before its end a certificate is replaced at the most.
const longestRenewal = 90 * 24 * time.Hour

// backdated is how far clocks of clients may be behind.
const backdated = time.Hour

func renewBefore(validity time.Duration) time.Duration { return min(validity/3, longestRenewal) }

// Step returns the material after m, and what was done in words; empty: nothing,
// and the material is m. One step is taken at a time, and written before the next.
func (i Issuer) Step(p Plan, m Material, r Record, now time.Time) (next Material, did string, err error) {
	ca, err := readCA(m.CACert, m.CAKey, now)
	if err != nil {
		reason := "there was none"
		if len(m.CACert) > 0 || len(m.CAKey) > 0 {
			reason = err.Error()
		}
		return i.anew(now, reason)
	}
	upcoming, err := readCA(m.NextCert, m.NextKey, now)
	if err != nil && len(m.NextCert)+len(m.NextKey) > 0 {
		m.NextCert, m.NextKey = nil, nil
		return m, "dropped the next CA: " + err.Error(), nil
	}
	if upcoming != nil && p.settled(r, m.NextCert, now) {
		next = Material{CACert: m.NextCert, CAKey: m.NextKey}
		next.Leaf, err = i.leaf(upcoming, now)
		return next, "signs with the next CA, which clients have", err
	}
	if problem := i.wrong(ca, m, now); problem != nil {
		m.Leaf, err = i.leaf(ca, now)
		return m, "made a certificate: " + problem.Error(), err
	}
	if upcoming == nil && ca.Cert.NotAfter.Sub(now) < renewBefore(i.CAValidity) {
		c, err := i.rotator().CreateCACert(now.Add(-backdated), now.Add(i.CAValidity))
		if err != nil {
			return m, "", fmt.Errorf("making the next CA: %w", err)
		}
		m.NextCert, m.NextKey = c.CertPEM, c.KeyPEM
		return m, "made the next CA, which is published before it signs anything", nil
	}
	return m, "", nil
}

// Again is when Step has something to do without anything else happening.
func (i Issuer) Again(p Plan, m Material, r Record, now time.Time) time.Time {
	again := now.Add(longestRenewal)
	sooner := func(at time.Time) {
		if at.Before(again) {
			again = at
		}
	}
	if ca, err := readCA(m.CACert, m.CAKey, now); err == nil && len(m.NextCert) == 0 {
		sooner(ca.Cert.NotAfter.Add(-renewBefore(i.CAValidity)))
	}
	if pair, err := tls.X509KeyPair(m.Leaf.Cert, m.Leaf.Key); err == nil {
		sooner(pair.Leaf.NotAfter.Add(-renewBefore(i.LeafValidity)))
	}
	if published := r.published(m.NextCert); !published.IsZero() {
		sooner(published.Add(p.Propagation))
	}
	return again
}

// settled says that clients have had time to see the authority.
func (p Plan) settled(r Record, authority []byte, now time.Time) bool {
	published := r.published(authority)
	return !published.IsZero() && !now.Before(published.Add(p.Propagation))
}

// published is since when clients can see the authority; zero: they cannot.
func (r Record) published(authority []byte) time.Time {
	texts, err := split(authority)
	if err != nil {
		return time.Time{}
	}
	for _, a := range r.Authorities {
		if a.PEM == texts[0] {
			return a.Published
		}
	}
	return time.Time{}
}

// anew starts over. Whoever serves a leaf of what was there before goes on until
// the new CA is published.
func (i Issuer) anew(now time.Time, reason string) (m Material, did string, err error) {
	ca, err := i.rotator().CreateCACert(now.Add(-backdated), now.Add(i.CAValidity))
	if err != nil {
		return m, "", fmt.Errorf("making a CA: %w", err)
	}
	m.CACert, m.CAKey = ca.CertPEM, ca.KeyPEM
	m.Leaf, err = i.leaf(ca, now)
	return m, "made a CA and a certificate: " + reason, err
}

func (i Issuer) leaf(ca *rotator.KeyPairArtifacts, now time.Time) (Leaf, error) {
	end := now.Add(i.LeafValidity)
	if ca.Cert.NotAfter.Before(end) {
		end = ca.Cert.NotAfter
	}
	cert, key, err := i.rotator().CreateCertPEM(ca, now.Add(-backdated), end)
	if err != nil {
		return Leaf{}, fmt.Errorf("making a certificate: %w", err)
	}
	return Leaf{Cert: cert, Key: key}, nil
}

// wrong says what is wrong with the leaf, which was made by the CA.
func (i Issuer) wrong(ca *rotator.KeyPairArtifacts, m Material, now time.Time) error {
	pair, err := tls.X509KeyPair(m.Leaf.Cert, m.Leaf.Key)
	if err != nil {
		return fmt.Errorf("the one there was cannot be used: %w", err)
	}
	left := pair.Leaf.NotAfter.Sub(now)
	if left < renewBefore(i.LeafValidity) && pair.Leaf.NotAfter.Before(ca.Cert.NotAfter) {
		return fmt.Errorf("the one there was ends at %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	if !slices.Equal(pair.Leaf.DNSNames, i.Names) {
		return fmt.Errorf("the one there was is for %v", pair.Leaf.DNSNames)
	}
	usages := usages()
	if ok, err := rotator.ValidCert(ca.CertPEM, m.Leaf.Cert, m.Leaf.Key, i.Names[0], &usages, now); !ok {
		return fmt.Errorf("the one there was is not the CA's: %w", err)
	}
	return nil
}

// usages are both: the mutator beside the provider is its client.
func usages() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

func (i Issuer) rotator() *rotator.CertRotator {
	usages := usages()
	return &rotator.CertRotator{
		CAName: "imagegate-ca", CAOrganization: "imagegate",
		DNSName: i.Names[0], ExtraDNSNames: i.Names[1:], ExtKeyUsages: &usages,
	}
}

// readCA returns a CA that can sign now.
func readCA(cert, key []byte, now time.Time) (*rotator.KeyPairArtifacts, error) {
	if len(cert) == 0 || len(key) == 0 {
		return nil, errors.New("the CA or its key is missing")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the CA cannot be used: %w", err)
	}
	private, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("the CA cannot be used: it is none of ours")
	}
	if now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("the CA ended at %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &rotator.KeyPairArtifacts{Cert: pair.Leaf, Key: private, CertPEM: cert, KeyPEM: key}, nil
}
