package transport

import (
	"fmt"
	"net/http"
	"time"

	"github.com/imagegate/imagegate/provider/reference"
)

// Set is the ways to registries: one for each that has certificate authorities
// of its own, and one for all others. It is safe for concurrent use.
type Set struct {
	shared *http.Transport
	byHost map[string]*http.Transport
}

// NewSet makes the transports as New does. caFiles maps a registry's
// host[:port], docker.io for Docker Hub, to a PEM file of authorities that are
// trusted for it beside the system's. Errors name the registry.
func NewSet(caFiles map[string]string, header time.Duration, perHost int) (*Set, error) {
	s := &Set{shared: New(nil, header, perHost), byHost: map[string]*http.Transport{}}
	for registry, file := range caFiles {
		host, err := reference.ParseHost(registry)
		if err != nil {
			return nil, fmt.Errorf("registry %q %w", registry, err)
		}
		if s.byHost[host] != nil {
			return nil, fmt.Errorf("registry %s is there twice: it is %s", registry, host)
		}
		roots, err := Roots(file)
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w", registry, err)
		}
		s.byHost[host] = New(roots, header, perHost)
	}
	return s, nil
}

// For returns the transport for requests to a host.
func (s *Set) For(host string) *http.Transport {
	if own, ok := s.byHost[reference.Host(host)]; ok {
		return own
	}
	return s.shared
}

// CloseIdle drops idle connections.
func (s *Set) CloseIdle() {
	s.shared.CloseIdleConnections()
	for _, own := range s.byHost {
		own.CloseIdleConnections()
	}
}
