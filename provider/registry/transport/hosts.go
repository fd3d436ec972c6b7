package transport

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// Hosts is what the configuration says of registries and their token servers,
// for all that speak to them. Nil says nothing. It is safe for concurrent use.
type Hosts struct {
	authorities map[string]*tlsfiles.Authorities
	// tokens are the token servers that may have a private address, by their
	// stand-in; standIns the other way round.
	tokens, standIns map[string]string
}

// NewHosts reads the files. caFiles maps a registry's host[:port], docker.io for
// Docker Hub, to a PEM file of authorities that are trusted for it beside the
// system's; the log is told when one of them changes. tokenHosts are the
// addresses, ip[:port], of the token servers that registries may name although
// they are private. Errors begin with the setting.
func NewHosts(caFiles map[string]string, tokenHosts []string, log *slog.Logger) (*Hosts, error) {
	h := &Hosts{authorities: map[string]*tlsfiles.Authorities{}, tokens: map[string]string{}, standIns: map[string]string{}}
	for _, registry := range slices.Sorted(maps.Keys(caFiles)) {
		setting := fmt.Sprintf("registry.caFiles[%s]", registry)
		host, err := reference.ParseHost(registry)
		if err != nil {
			return nil, fmt.Errorf("%s: %q %w", setting, registry, err)
		}
		if h.authorities[host] != nil {
			return nil, fmt.Errorf("%s: registry %s is there twice: it is %s", setting, registry, host)
		}
		if h.authorities[host], err = tlsfiles.NewAuthorities(setting, caFiles[registry], log); err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
	}
	var mark [8]byte
	_, _ = rand.Read(mark[:]) // never fails
	for i, s := range tokenHosts {
		host, err := ParseTokenHost(s)
		if err != nil {
			return nil, fmt.Errorf("registry.tokenHosts[%d]: %q %w", i, s, err)
		}
		standIn := fmt.Sprintf("%d.%s.token-server.invalid", i, hex.EncodeToString(mark[:]))
		h.tokens[standIn], h.standIns[host] = host, standIn
	}
	return h, nil
}

// Followed are the files, to be kept in step with.
func (h *Hosts) Followed() []filewatch.Followed {
	if h == nil {
		return nil
	}
	var all []filewatch.Followed
	for _, host := range slices.Sorted(maps.Keys(h.authorities)) {
		if a := h.authorities[host]; a != nil {
			all = append(all, a)
		}
	}
	return all
}
