package transport

import (
	"crypto/x509"
	"net/http"
	"time"

	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// Set is the ways to registries: one for each that has certificate authorities
// of its own, and one for all others. It is safe for concurrent use.
type Set struct {
	hosts  *Hosts
	shared *tlsfiles.Transport
	byHost map[string]*tlsfiles.Transport
}

// NewSet makes the transports as New does.
func NewSet(hosts *Hosts, header time.Duration, perHost int) *Set {
	build := func(roots *x509.CertPool) *http.Transport { return New(roots, header, perHost) }
	s := &Set{hosts: hosts, shared: tlsfiles.NewTransport(nil, build), byHost: map[string]*tlsfiles.Transport{}}
	if hosts == nil {
		return s
	}
	for host, authorities := range hosts.authorities {
		s.byHost[host] = tlsfiles.NewTransport(authorities, build)
	}
	return s
}

// For returns the transport for the next request to a host, with the host's
// authorities as they are now.
func (s *Set) For(host string) *http.Transport {
	if own, ok := s.byHost[reference.Host(host)]; ok {
		return own.Current()
	}
	return s.shared.Current()
}

// Around is Hosts.Around.
func (s *Set) Around(next http.RoundTripper) http.RoundTripper { return s.hosts.Around(next) }

// CloseIdle drops idle connections.
func (s *Set) CloseIdle() {
	s.shared.CloseIdleConnections()
	for _, own := range s.byHost {
		own.CloseIdleConnections()
	}
}
