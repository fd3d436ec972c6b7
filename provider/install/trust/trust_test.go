package trust_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/install/trust"
)

var (
	plan   = trust.Plan{Propagation: 10 * time.Second, Overlap: time.Hour}
	issuer = trust.Issuer{Names: []string{"imagegate.ns.svc", "localhost"}, CAValidity: 30 * 24 * time.Hour, LeafValidity: 6 * 24 * time.Hour}
)

// world is what outlives processes: the source of certificates, the record, and
// what is published.
type world struct {
	t         *testing.T
	own       bool
	material  trust.Material
	record    trust.Record
	published []byte
	// down says that what is published cannot be written.
	down bool
	// seen are the bundles that clients may use still: those of the last
	// propagation.
	seen []seen
	did  []string
	// replicas have what they serve; a nil leaf serves nothing.
	replicas []trust.Leaf
}

type seen struct {
	bundle []byte
	until  time.Time // zero: it is the present one
}

// lead is a round of the leader. It ends after so many writes, as a process does
// that is killed; whoever leads next begins anew.
func (w *world) lead(writes int) {
	w.t.Helper()
	now := time.Now()
	write := func() bool { writes--; return writes >= 0 }
	if w.own {
		m, did, err := issuer.Step(plan, w.material, w.record, now)
		if err != nil {
			w.t.Fatal(err)
		}
		if did != "" {
			if !write() {
				return
			}
			w.material = m
			w.did = append(w.did, did)
		}
	}
	step := func(published bool) bool {
		r, _, err := plan.Step(w.record, w.material.Authorities(), published, now)
		if err != nil {
			w.t.Fatal(err)
		}
		if !write() {
			return false
		}
		w.record = r
		return true
	}
	if !step(false) || w.down || !write() {
		return
	}
	if bundle := w.record.Bundle(); string(bundle) != string(w.published) {
		for i := range w.seen {
			if w.seen[i].until.IsZero() {
				// Somewhat sooner than is allowed for.
				w.seen[i].until = now.Add(plan.Propagation - time.Second)
			}
		}
		w.published = bundle
		w.seen = append(w.seen, seen{bundle: bundle})
	}
	step(true)
}

// look is a replica's: what it serves from now on.
func (w *world) look(i int) {
	if w.material.Leaf.Cert == nil || w.material.Leaf.Equal(w.replicas[i]) {
		return
	}
	if plan.Serve(w.record, w.material.Leaf, w.replicas[i].Cert != nil, time.Now()) == nil {
		w.replicas[i] = w.material.Leaf
	}
}

// check has every client ask every replica.
func (w *world) check() {
	w.t.Helper()
	now := time.Now()
	w.seen = slices.DeleteFunc(w.seen, func(s seen) bool { return !s.until.IsZero() && now.After(s.until) })
	for i, leaf := range w.replicas {
		for _, s := range w.seen {
			if leaf.Cert != nil && !verifies(s.bundle, leaf.Cert, now) {
				w.t.Fatalf("at %s replica %d serves what a client does not trust; did %v", now, i, w.did)
			}
		}
	}
}

func verifies(bundle, cert []byte, now time.Time) bool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	block, _ := pem.Decode(cert)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	_, err = c.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost", CurrentTime: now})
	return err == nil
}

// pass lets time pass with rounds and looks.
func (w *world) pass(d, step time.Duration, writes func() int) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		w.lead(writes())
		for i := range w.replicas {
			w.look(i)
		}
		w.check()
	}
}

const all = 1 << 20

func everything() int { return all }

// TestOwnAuthorityIsReplacedWithoutLoss runs through the lives of two CAs, with
// leaders that are killed after every single write.
func TestOwnAuthorityIsReplacedWithoutLoss(t *testing.T) {
	for _, kill := range []int{all, 1, 2, 3} {
		t.Run(fmt.Sprintf("killed after %d writes", kill), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{t: t, own: true, replicas: make([]trust.Leaf, 3)}
				n := 0
				writes := func() int {
					if n++; n%2 == 0 {
						return kill
					}
					return all
				}
				w.pass(time.Minute, time.Second, writes)
				if w.replicas[0].Cert == nil {
					t.Fatal("nothing is served after a minute")
				}
				for range 45 {
					w.pass(24*time.Hour, time.Hour, writes)
					// What comes within seconds is looked at by the second.
					w.pass(30*time.Second, time.Second, writes)
				}
				count := func(what string) (n int) {
					for _, d := range w.did {
						if strings.Contains(d, what) {
							n++
						}
					}
					return n
				}
				if count("made the next CA") < 2 || count("signs with the next CA") < 2 || count("made a certificate: ") < 4 || count("there was none") != 1 {
					t.Errorf("did %q", w.did)
				}
				w.pass(2*time.Hour, time.Minute, everything)
				if a := len(w.record.Authorities); a != 1 && count("signs") > 0 && a > 2 {
					t.Errorf("%d authorities are kept", a)
				}
			})
		})
	}
}

// TestAnOldAuthorityIsDropped says when.
func TestAnOldAuthorityIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, own: true, replicas: make([]trust.Leaf, 1)}
		w.pass(time.Minute, time.Second, everything)
		first := w.record.Authorities[0].PEM
		time.Sleep(issuer.CAValidity*2/3 + time.Minute)
		w.pass(5*time.Second, time.Second, everything)
		if len(w.record.Authorities) != 2 || w.replicas[0].Cert == nil || !verifies([]byte(first), w.replicas[0].Cert, time.Now()) {
			t.Fatal("the next CA is not published beside the old one, whose leaf is served")
		}
		if !w.record.Authorities[1].Retired.IsZero() {
			t.Fatal("the old CA is retired while it signs")
		}
		w.pass(time.Minute, time.Second, everything)
		if verifies([]byte(first), w.replicas[0].Cert, time.Now()) || len(w.record.Authorities) != 2 {
			t.Fatal("a minute later it is still the old CA's leaf, or the old CA is gone")
		}
		w.pass(plan.Overlap, time.Minute, everything)
		w.pass(2*time.Minute, time.Minute, everything)
		if len(w.record.Authorities) != 1 || strings.Contains(string(w.published), first) {
			t.Errorf("an overlap later the old CA is still published")
		}
	})
}

// given makes a CA and leaf as somebody else would, both at once.
func given(t *testing.T) trust.Material {
	t.Helper()
	m, _, err := issuer.Step(plan, trust.Material{}, trust.Record{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m.CAKey = nil
	return m
}

// TestGivenCertificatesChangeAtOnce replaces CA and leaf together, as cert-manager
// may, at any moment, and while nothing can be published.
func TestGivenCertificatesChangeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, material: given(t), replicas: make([]trust.Leaf, 2)}
		w.pass(time.Minute, time.Second, everything)
		for range 3 {
			before := w.replicas[0]
			w.material, w.down = given(t), true
			w.pass(3*plan.Overlap, time.Minute, everything)
			if !w.replicas[0].Equal(before) || len(w.record.Authorities) < 2 {
				t.Fatal("while nothing can be published, another leaf is served or the old CA was dropped")
			}
			// One replica starts anew in the middle: it has no old leaf, and serves nothing.
			w.replicas[1] = trust.Leaf{}
			w.look(1)
			if w.replicas[1].Cert != nil {
				t.Fatal("a replica that starts serves what nobody trusts")
			}
			w.down = false
			w.pass(plan.Propagation-time.Second, time.Second, everything)
			if !w.replicas[0].Equal(before) || w.replicas[1].Cert != nil {
				t.Fatal("the new leaf is served before clients had time")
			}
			w.pass(3*time.Second, time.Second, everything)
			if !w.replicas[0].Equal(w.material.Leaf) || !w.replicas[1].Equal(w.material.Leaf) {
				t.Fatal("the new leaf is not served")
			}
		}
		// Back to an authority that was just retired.
		old := w.material
		w.material = given(t)
		w.pass(time.Minute, time.Second, everything)
		w.material = old
		w.pass(2*plan.Overlap, time.Minute, everything)
		if len(w.record.Authorities) != 1 || !w.replicas[0].Equal(old.Leaf) {
			t.Error("a CA that came back is not the one in use")
		}
	})
}

func TestServeSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, other := given(t), given(t)
		r, _, err := plan.Step(trust.Record{}, m.CACert, false, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		says := func(r trust.Record, l trust.Leaf, want string) {
			t.Helper()
			if err := plan.Serve(r, l, true, time.Now()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
		says(r, m.Leaf, "no published CA bundle verifies")
		r, _, _ = plan.Step(r, m.CACert, true, time.Now())
		says(r, other.Leaf, "no published CA bundle verifies")
		says(r, m.Leaf, "it is served from 2000-01-01T00:00:10Z on")
		var notYet *trust.NotYetError
		if err := plan.Serve(r, m.Leaf, true, time.Now()); !errors.As(err, &notYet) || time.Until(notYet.At) != plan.Propagation {
			t.Errorf("%v", err)
		}
		if err := plan.Serve(r, m.Leaf, false, time.Now()); err != nil {
			t.Errorf("the first leaf of all: %v", err)
		}
		says(r, trust.Leaf{Cert: m.Leaf.Cert, Key: other.Leaf.Key}, "private key does not match")
		time.Sleep(issuer.LeafValidity + time.Hour)
		says(r, m.Leaf, "ended at")
	})
}

func TestStepRefusesWhatIsNoBundle(t *testing.T) {
	m := given(t)
	good, _, err := plan.Step(trust.Record{}, m.CACert, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "text": []byte("ca"), "cut": slices.Concat(m.CACert, m.CACert[:len(m.CACert)/2]),
		"broken": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
	} {
		r, _, err := plan.Step(good, bad, true, time.Now())
		if err == nil || len(r.Authorities) != 1 {
			t.Errorf("%s: %v, %d authorities", name, err, len(r.Authorities))
		}
	}
}

// TestTheAuthorityIsRepaired damages what is kept of it.
func TestTheAuthorityIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, damage := range map[string]func(*trust.Material){
			"deleted":         func(m *trust.Material) { *m = trust.Material{} },
			"no CA key":       func(m *trust.Material) { m.CAKey = nil },
			"no leaf":         func(m *trust.Material) { m.Leaf = trust.Leaf{} },
			"another's leaf":  func(m *trust.Material) { m.Leaf = given(t).Leaf },
			"another's CA":    func(m *trust.Material) { m.CACert = given(t).CACert },
			"broken next CA":  func(m *trust.Material) { m.NextCert, m.NextKey = []byte("x"), []byte("y") },
			"half of next CA": func(m *trust.Material) { m.NextCert = given(t).CACert },
		} {
			w := &world{t: t, own: true, replicas: make([]trust.Leaf, 1)}
			w.pass(time.Minute, time.Second, everything)
			damage(&w.material)
			w.pass(time.Minute, time.Second, everything)
			if _, did, err := issuer.Step(plan, w.material, w.record, time.Now()); err != nil || did != "" {
				t.Errorf("%s: still to do: %q, %v", name, did, err)
			}
			if !w.replicas[0].Equal(w.material.Leaf) {
				t.Errorf("%s: what is kept is not served: %q", name, w.did)
			}
		}
	})
}

func TestNewNamesMakeANewLeaf(t *testing.T) {
	m, _, err := issuer.Step(plan, trust.Material{}, trust.Record{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	renamed := issuer
	renamed.Names = []string{"other.ns.svc"}
	next, did, err := renamed.Step(plan, m, trust.Record{}, time.Now())
	if err != nil || !strings.Contains(did, "the one there was is for [imagegate.ns.svc localhost]") || string(next.CACert) != string(m.CACert) {
		t.Errorf("%q, %v", did, err)
	}
}

func TestClientsAreThoseOfTheLastTwo(t *testing.T) {
	bundles := [][]byte{given(t).CACert, given(t).CACert, given(t).CACert}
	var c trust.Clients
	follow := func(b []byte) {
		t.Helper()
		var err error
		if c, err = c.Follow(b); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want ...int) {
		t.Helper()
		for i, b := range bundles {
			if strings.Contains(string(c.PEM()), string(b)) != slices.Contains(want, i) {
				t.Errorf("of %d: want %v", i, want)
			}
		}
	}
	follow(bundles[0])
	follow(bundles[0])
	has(0)
	follow(bundles[1])
	has(0, 1)
	follow(bundles[0]) // back, and forth
	follow(bundles[1])
	has(0, 1)
	follow(bundles[2])
	has(1, 2)
	for _, bad := range []string{"", "x"} {
		if next, err := c.Follow([]byte(bad)); err == nil || len(next.Bundles) != 2 {
			t.Errorf("%q: %v, %d bundles", bad, err, len(next.Bundles))
		}
	}
}
