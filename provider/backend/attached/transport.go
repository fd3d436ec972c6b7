package attached

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/imagegate/imagegate/provider/registry/transport"
)

// maxManifestBytes bounds a manifest and a list of referrers, as registries do.
const maxManifestBytes = 4 << 20

// gate is one look-up's way to its registry. It speaks plain HTTP to that
// registry alone, and only when its configured scheme says so:
// go-containerregistry tries it by itself on loopback and private addresses.
type gate struct {
	ways *transport.Set
	// plain is the host[:port] that is spoken to over plain HTTP, or empty.
	plain string
	// blob bounds the answers that are neither manifests nor lists.
	blob int64
	// quiet knows the hosts that asked whoever holds the authorization, the
	// image's, to leave them alone.
	quiet         *quiet
	authorization string
}

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case g.plain != "" && req.URL.Host == g.plain:
		if req.URL.Scheme != "http" {
			req = req.Clone(req.Context())
			req.URL.Scheme = "http"
		}
	case req.URL.Scheme != "https":
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("plain HTTP to %s is off", req.URL.Host)
	}
	if err := g.quiet.check(req.URL.Host, g.authorization); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := g.ways.For(req.URL.Host).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := g.quiet.heed(req.URL.Host, g.authorization, resp); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if strings.Contains(req.URL.Path, "/referrers/") {
		if err := checkList(resp.Header); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
	}
	resp.Body = transport.Bound(resp.Body, g.most(req.URL.Path))
	return resp, nil
}

func (g *gate) most(path string) int64 {
	if strings.Contains(path, "/manifests/") || strings.Contains(path, "/referrers/") {
		return maxManifestBytes
	}
	return max(g.blob, maxManifestBytes)
}
