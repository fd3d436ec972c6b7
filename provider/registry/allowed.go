package registry

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/reference"
)

func (o Options) allowed() ([]reference.Prefix, error) {
	list := make([]reference.Prefix, len(o.Allowed))
	for i, s := range o.Allowed {
		var err error
		if list[i], err = reference.ParsePrefix(s); err != nil {
			return nil, fmt.Errorf("Allowed: %q %w", s, err)
		}
	}
	return list, nil
}

// isAllowed is asked before anything is sent, credentials are looked for, or a
// host's name is resolved.
func (r *Resolver) isAllowed(repo name.Repository) bool {
	if len(r.allowed) == 0 {
		return true
	}
	for _, p := range r.allowed {
		if _, ok := p.Match(repo.RegistryStr(), repo.RepositoryStr()); ok {
			return true
		}
	}
	return false
}
