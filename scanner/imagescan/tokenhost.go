package imagescan

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// ParseTokenHost reads a token server's ip[:port]. The ports of HTTPS and HTTP
// need not be written.
func ParseTokenHost(s string) (string, error) {
	u, err := url.Parse("https://" + s)
	if err != nil || s == "" || u.Host != s || u.User != nil {
		return "", fmt.Errorf("%q is not a token server's ip[:port]", s)
	}
	host, ok := tokenHost(u.Host)
	if !ok {
		return "", fmt.Errorf("%q is not a token server's ip[:port]: one that has a name need not be listed", s)
	}
	return host, nil
}

// tokenHost is the one spelling of an address with its port.
func tokenHost(hostport string) (string, bool) {
	u := url.URL{Host: hostport}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return "", false
	}
	switch port := u.Port(); port {
	case "", "80", "443":
		return strings.TrimSuffix(net.JoinHostPort(addr.String(), ""), ":"), true
	default:
		return net.JoinHostPort(addr.String(), port), true
	}
}

// tokenHosts lets the library fetch tokens at private addresses that are listed.
// It refuses them all, so it is told a name in their stead, which is taken for
// the address again when it asks.
type tokenHosts struct {
	base   http.RoundTripper
	listed []string
}

const standIn = ".token-server.invalid"

// RoundTrip implements http.RoundTripper.
func (t tokenHosts) RoundTrip(r *http.Request) (*http.Response, error) {
	for i, host := range t.listed {
		if r.URL.Host == fmt.Sprint(i, standIn) {
			r = r.Clone(r.Context())
			r.URL.Host, r.Host = host, ""
			break
		}
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	for i, challenge := range resp.Header["Www-Authenticate"] {
		resp.Header["Www-Authenticate"][i] = t.settle(challenge, r.URL.Host)
	}
	return resp, nil
}

// realm is the parameter of a challenge that says where tokens are.
var realm = regexp.MustCompile(`(?i)^(bearer\s+(?:.*,\s*)?realm=")([^"\\]*)"`)

func (t tokenHosts) settle(challenge, registry string) string {
	m := realm.FindStringSubmatch(challenge)
	if m == nil {
		return challenge
	}
	u, err := url.Parse(m[2])
	if err != nil || u.Host == registry {
		return challenge
	}
	host, ok := tokenHost(u.Host)
	if !ok {
		return challenge
	}
	for i, listed := range t.listed {
		if listed == host {
			u.Host = fmt.Sprint(i, standIn)
			return m[1] + u.String() + challenge[len(m[1])+len(m[2]):]
		}
	}
	return challenge
}

// isPrivateTokenHost recognises the library's refusal, which is a plain text.
func isPrivateTokenHost(err error) bool {
	return strings.Contains(err.Error(), "invalid realm in www-authenticate") && strings.Contains(err.Error(), "private or link-local")
}
