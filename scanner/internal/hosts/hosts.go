// Package hosts gives each registry one name, however it is spelled, so that
// what is kept or shared by registry cannot be had twice.
package hosts

import (
	"net"
	"strings"
)

// Canonical is the one spelling of a registry's host, with its port unless that
// is the one of its scheme, "https" or "http".
func Canonical(scheme, host string) string {
	host = strings.ToLower(host)
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	name = strings.TrimSuffix(name, ".")
	switch name {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		name = "index.docker.io"
	}
	switch {
	case port != "":
		return net.JoinHostPort(name, port)
	case strings.Contains(name, ":"):
		return "[" + name + "]"
	default:
		return name
	}
}
