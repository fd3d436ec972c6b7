package reference

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// DockerHub is the canonical host of Docker Hub.
const DockerHub = name.DefaultRegistry

// Host is the one name of a registry, by which everything that is kept, shared
// or configured by registry tells one from another: host[:port] in lower case,
// without the root's dot, Docker Hub under one of its names. Two ports of one
// host are two registries, but for those of HTTPS and HTTP, which need not be
// written: a reference does not say the scheme.
func Host(hostport string) string {
	host, port := spell(hostport)
	switch host {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		host = DockerHub
	}
	switch port {
	case "", "443", "80":
		return host
	}
	return host + ":" + port
}

// Address is the one spelling of where a registry is spoken to: as Host, but
// that a port is left out only when it is the scheme's own, and that no host
// stands for another.
func Address(scheme, hostport string) string {
	host, port := spell(hostport)
	if port == "" || port == "443" && scheme == "https" || port == "80" && scheme == "http" {
		return host
	}
	return host + ":" + port
}

// spell returns the host, an IPv6 address in brackets, and the port as a number
// without leading zeros, or nothing.
func spell(hostport string) (host, port string) {
	u := url.URL{Host: strings.ToLower(hostport)}
	host = strings.TrimRight(u.Hostname(), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host, strings.TrimLeft(u.Port(), "0")
}

// ParseHost reads a registry's host[:port] in a configuration and returns its
// Host. A host that cannot stand in a reference is refused: what is configured
// for it would never be used.
func ParseHost(s string) (string, error) {
	if s == "" || strings.Contains(s, "/") {
		return "", errors.New("must be a registry's host[:port] without scheme or path")
	}
	if _, err := name.NewRegistry(s); err != nil {
		return "", errors.New("must be a registry's host[:port] without scheme or path")
	}
	host, port := spell(s)
	written := host
	if port != "" {
		written += ":" + port
	}
	if host != "localhost" && !strings.ContainsAny(written, ".:") {
		return "", errors.New("is no registry in any image reference: the first part of one is a host only with a dot or a port in it, or as localhost")
	}
	if _, err := Parse(written + "/a/b"); err != nil {
		return "", errors.New("is no host that an image reference can name")
	}
	return Host(s), nil
}

// fullPath spells out a path: Docker Hub keeps nginx under library/.
func fullPath(host, path string) string {
	if host == DockerHub && !strings.Contains(path, "/") {
		return "library/" + path
	}
	return path
}
