package transport

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/imagegate/imagegate/provider/reference"
)

// TokenHostError is a registry's wish to have its tokens fetched at a private
// address that nobody has listed. A registry that is a stranger's could have
// credentials sent, or requests made, to anything in the cluster by it.
type TokenHostError struct {
	// Host is the token server's host[:port].
	Host string
}

func (e *TokenHostError) Error() string {
	return fmt.Sprintf("its token server %s has a private address, which is asked only when it is listed under registry.tokenHosts in the provider's configuration", e.Host)
}

// ParseTokenHost reads an entry of registry.tokenHosts, ip[:port], and returns
// it as reference.Host does. Other hosts are asked unlisted: an entry for one is
// a mistake.
func ParseTokenHost(s string) (string, error) {
	u, err := url.Parse("https://" + s)
	if err != nil || s == "" || u.Host != s || u.User != nil || strings.HasSuffix(s, ":") {
		return "", errors.New("must be a token server's ip[:port] without scheme or path")
	}
	addr, ok := address(u.Hostname())
	if !ok {
		return "", errors.New("must be an IP address, with or without a port: a token server that has a name need not be listed")
	}
	if !private(addr) || addr.IsUnspecified() || addr.Zone() != "" {
		return "", errors.New("is no private address: it need not be listed")
	}
	return reference.Host(s), nil
}

func address(host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// private are the addresses that go-containerregistry refuses of a token server.
func private(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsPrivate() || a.IsUnspecified()
}

// Around returns what sends requests by next and lets go-containerregistry ask
// token servers at the listed addresses. It refuses them all, so it is told a
// name in their stead, which is taken for the address again when it asks. What
// next sees are addresses only. A registry that names one that is not listed is
// a *TokenHostError.
func (h *Hosts) Around(next http.RoundTripper) http.RoundTripper {
	return &around{hosts: h, next: next}
}

type around struct {
	hosts *Hosts
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a *around) RoundTrip(req *http.Request) (*http.Response, error) {
	if host, ok := a.hosts.standsFor(req.URL.Host); ok {
		req = req.Clone(req.Context())
		req.URL.Host, req.Host = host, ""
	}
	resp, err := a.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if refused := a.hosts.settle(resp.Header, req.URL.Host); refused != nil {
		_ = resp.Body.Close()
		return nil, refused
	}
	return resp, nil
}

func (h *Hosts) standsFor(host string) (string, bool) {
	if h == nil {
		return "", false
	}
	name, port, _ := strings.Cut(host, ":")
	if port != "" {
		return "", false
	}
	listed, ok := h.tokens[name]
	return listed, ok
}

// realm is the parameter of a challenge that says where tokens are.
var realm = regexp.MustCompile(`(?i)(\srealm=|,\s*realm=)"([^"\\]*)"`)

// settle puts the stand-ins of listed addresses into the challenges of a
// registry. One that is not listed is refused where its realm is the one that
// go-containerregistry would go by.
func (h *Hosts) settle(header http.Header, registry string) error {
	challenges := header["Www-Authenticate"]
	decided := false
	for i, c := range challenges {
		scheme, _, _ := strings.Cut(strings.TrimSpace(c), " ")
		bearer := strings.EqualFold(scheme, "Bearer")
		first := !decided && (bearer || strings.EqualFold(scheme, "Basic"))
		decided = decided || first
		if !bearer {
			continue
		}
		var refused error
		challenges[i] = realm.ReplaceAllStringFunc(c, func(param string) string {
			m := realm.FindStringSubmatch(param)
			u, err := url.Parse(m[2])
			if err != nil || u.Host == registry {
				return param
			}
			if addr, ok := address(u.Hostname()); !ok || !private(addr) {
				return param
			}
			standIn, ok := h.standIn(u.Host)
			if !ok {
				refused = &TokenHostError{Host: reference.Host(u.Host)}
				return param
			}
			u.Host = standIn
			return m[1] + `"` + u.String() + `"`
		})
		if first && refused != nil {
			return refused
		}
	}
	return nil
}

func (h *Hosts) standIn(host string) (string, bool) {
	if h == nil {
		return "", false
	}
	name, ok := h.standIns[reference.Host(host)]
	return name, ok
}
