package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/registry/transport"
)

// otherCA is an authority that has signed nothing.
func otherCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// asker answers every request with these challenges, and notes who was asked.
type asker struct {
	challenges []string
	hosts      []string
}

func (a *asker) RoundTrip(req *http.Request) (*http.Response, error) {
	a.hosts = append(a.hosts, req.URL.Host+"|"+req.Host)
	return &http.Response{
		StatusCode: http.StatusUnauthorized, Request: req, Body: io.NopCloser(strings.NewReader("")),
		Header: http.Header{"Www-Authenticate": a.challenges},
	}, nil
}

func challenge(t *testing.T, rt http.RoundTripper, url string) ([]string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	return resp.Header.Values("Www-Authenticate"), nil
}

func TestTheRealmOfAListedTokenServer(t *testing.T) {
	h, err := newHosts(nil, "10.0.0.5:5001", "10.0.0.6", "[fd00::1]:5001")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		challenges []string
		asked      string // the host that is asked for a token in the end
		refused    string
	}{
		"listed":                         {[]string{`Bearer realm="https://10.0.0.5:5001/token?a=b",service="x"`}, "10.0.0.5:5001", ""},
		"listed, later in the challenge": {[]string{`bearer service="x", Realm="https://10.0.0.5:5001/token"`}, "10.0.0.5:5001", ""},
		"listed without its port":        {[]string{`Bearer realm="https://10.0.0.6:443/token"`}, "10.0.0.6", ""},
		"IPv6":                           {[]string{`Bearer realm="https://[FD00:0::1]:5001/token"`}, "[fd00::1]:5001", ""},
		"another port":                   {[]string{`Bearer realm="https://10.0.0.5/token"`}, "", "10.0.0.5"},
		"another address":                {[]string{`Bearer realm="https://169.254.169.254/token"`}, "", "169.254.169.254"},
		"mapped into IPv6":               {[]string{`Bearer realm="https://[::ffff:10.0.0.9]/token"`}, "", "[::ffff:10.0.0.9]"},
		"the registry's own":             {[]string{`Bearer realm="https://10.0.0.1:5000/token"`}, "10.0.0.1:5000", ""},
		"a name":                         {[]string{`Bearer realm="https://auth.example.com/token"`}, "auth.example.com", ""},
		"not the one gone by":            {[]string{`Basic realm="x"`, `Bearer realm="https://10.0.0.9/token"`}, "10.0.0.9", ""},
		"one not understood before":      {[]string{`Negotiate`, `Bearer realm="https://10.0.0.9/token"`}, "", "10.0.0.9"},
		"a password":                     {[]string{`Basic realm="https://10.0.0.9/"`}, "10.0.0.9", ""},
	} {
		a := &asker{challenges: tc.challenges}
		rt := h.Around(a)
		got, err := challenge(t, rt, "https://10.0.0.1:5000/v2/")
		if tc.refused != "" {
			e, ok := errors.AsType[*transport.TokenHostError](err)
			if !ok || e.Host != tc.refused || !strings.Contains(err.Error(), "registry.tokenHosts") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, realm, _ := strings.Cut(strings.ToLower(got[len(got)-1]), `realm="`)
		realm, _, _ = strings.Cut(realm, `"`)
		a.challenges = nil
		if _, err := challenge(t, rt, realm); err != nil {
			t.Fatal(err)
		}
		if last := a.hosts[len(a.hosts)-1]; !strings.HasPrefix(last, tc.asked+"|") {
			t.Errorf("%s: the realm is %s and %s is asked, want %s", name, realm, last, tc.asked)
		}
	}
}

// A stand-in is worth nothing to who guesses it: an image must not have a second
// name by it.
func TestAStandInCannotBeGuessed(t *testing.T) {
	a := &asker{}
	for range 2 {
		h, err := newHosts(nil, "10.0.0.5")
		if err != nil {
			t.Fatal(err)
		}
		got := &asker{challenges: []string{`Bearer realm="https://10.0.0.5/token"`}}
		c, err := challenge(t, h.Around(got), "https://r.example/v2/")
		if err != nil {
			t.Fatal(err)
		}
		a.hosts = append(a.hosts, c...)
	}
	if a.hosts[0] == a.hosts[1] {
		t.Errorf("the stand-in is %s each time", a.hosts[0])
	}
}
