package admit

import (
	"context"
	"slices"
	"time"

	"github.com/imagegate/imagegate/provider/pattern"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/wire"
)

// Action is what to do with an image that cannot be pinned.
type Action string

// The actions.
const (
	// Reject denies the request.
	Reject Action = "reject"
	// Keep admits the reference as it is, with a warning: validation judges it.
	Keep Action = "keep"
)

// Settings configure an Admitter.
type Settings struct {
	// KeepTag pins a:1 to a:1@sha256:... instead of a@sha256:...
	KeepTag bool
	// OnUnresolved applies where ByNamespace has no entry.
	OnUnresolved Action
	ByNamespace  map[string]Action
	// Exempt images are left as they are: validation judges them all the same.
	Exempt []reference.Prefix
	// Workloads are the kinds other than Pod whose templates are pinned.
	Workloads []string
	// ResolveTimeout bounds the question for digests.
	ResolveTimeout time.Duration
	// Wait is how long a request may wait for its scans; zero does not wait.
	Wait time.Duration
	// MaxWaiting is how many owners of Pods may wait at once: the Pods of one
	// count once, as do Pods of none that wait for the same scans.
	MaxWaiting int
	// Attempts has the provider told for whom images are asked, who remembers then
	// what it answers.
	Attempts bool
}

func (s *Settings) onUnresolved(namespace string) Action {
	if a, ok := pattern.ForNamespace(s.ByNamespace, namespace); ok {
		return a
	}
	return s.OnUnresolved
}

// exempt reports whether image, a valid reference, is not to be pinned.
func (s *Settings) exempt(image string) bool {
	if len(s.Exempt) == 0 {
		return false
	}
	ref, err := reference.Parse(image)
	return err == nil && slices.ContainsFunc(s.Exempt, func(p reference.Prefix) bool {
		_, ok := p.Match(ref.Context().RegistryStr(), ref.Context().RepositoryStr())
		return ok
	})
}

// Provider is the part of wire.Client that is used here.
type Provider interface {
	Digests(ctx context.Context, keys []wire.Key) ([]wire.Resolved, error)
	Reports(ctx context.Context, keys []wire.Key, wait time.Duration) ([]report.ScanReport, error)
}
