package route

import (
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// canonicalHost is the one spelling of a registry's host[:port]: the author of
// a Pod, who may spell it in any way that reaches the registry, must not choose
// the scanner by that. Two ports of one host are two registries, but for the
// default ones.
func canonicalHost(host string) string {
	u := url.URL{Host: strings.ToLower(host)}
	bare := strings.TrimRight(u.Hostname(), ".")
	switch bare {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		bare = name.DefaultRegistry
	}
	if strings.Contains(bare, ":") {
		bare = "[" + bare + "]"
	}
	switch port := strings.TrimLeft(u.Port(), "0"); port {
	case "", "443", "80":
		return bare
	default:
		return bare + ":" + port
	}
}
