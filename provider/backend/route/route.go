// Package route sends each image to the scanner that is configured for its
// registry or repository: a private registry may be readable by one scanner
// only, or a team may have a scanner of its own.
package route

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
)

// Backend is a scanner that images can be sent to.
type Backend interface {
	// Scan scans one image manifest. Errors are *report.Failure.
	Scan(ctx context.Context, image backend.Image) (*report.Scan, error)
	// Sharing says for which other names of its digest a scan of the image
	// counts. What a backend does not know to be safe it must not claim.
	Sharing(image backend.Image) backend.Sharing
	// Ready says why the scanner cannot be used, or nil.
	Ready(ctx context.Context) error
	// Generation says what a scan would be based on now.
	Generation(ctx context.Context) (backend.Generation, error)
}

// Route is a backend for the images below Prefix.
type Route struct {
	// Prefix is a registry or a repository path, without scheme, tag or digest:
	// "registry.example.com", "docker.io/library", "ghcr.io/team/app". It
	// matches whole path components only. Empty matches every image.
	Prefix  string
	Backend Backend
}

// Router is the backends, the default last.
type Router struct {
	routes   []Route
	prefixes []reference.Prefix

	mu sync.Mutex
	// last is what each backend was based on when it last told; zero until it
	// does.
	last []backend.Generation
}

// New checks the prefixes and returns a Router. One route must have the empty
// prefix, so that no image is without a scanner.
func New(routes ...Route) (*Router, error) {
	sorted := slices.SortedStableFunc(slices.Values(routes), func(a, b Route) int { return len(b.Prefix) - len(a.Prefix) })
	if len(sorted) == 0 || sorted[len(sorted)-1].Prefix != "" {
		return nil, errors.New("no scanner is configured for images that match no prefix")
	}
	prefixes := make([]reference.Prefix, len(sorted))
	for i, r := range sorted {
		if r.Prefix != "" { // the zero Prefix matches everything
			var err error
			if prefixes[i], err = reference.ParsePrefix(r.Prefix); err != nil {
				return nil, fmt.Errorf("prefix %q: %w", r.Prefix, err)
			}
		}
		if slices.ContainsFunc(prefixes[:i], prefixes[i].Clashes) {
			return nil, fmt.Errorf("prefix %q is routed twice", r.Prefix)
		}
	}
	return &Router{routes: sorted, prefixes: prefixes, last: make([]backend.Generation, len(sorted))}, nil
}

// Scan sends the image to the backend with the closest matching prefix.
func (r *Router) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	return r.backend(image).Scan(ctx, image)
}

// Sharing is that of the image's backend. Where the name chooses among several
// it has a part in the verdict.
func (r *Router) Sharing(image backend.Image) backend.Sharing {
	if len(r.routes) > 1 {
		return backend.ByName
	}
	return r.backend(image).Sharing(image)
}

// backend is the one with the closest matching prefix.
func (r *Router) backend(image backend.Image) Backend {
	host := image.Registry
	if u, err := url.Parse(image.Registry); err == nil && u.Host != "" {
		host = u.Host
	}
	best, closest := len(r.routes)-1, 0
	for i, prefix := range r.prefixes {
		if closeness, ok := prefix.Match(host, image.Repository); ok && closeness > closest {
			best, closest = i, closeness
		}
	}
	return r.routes[best].Backend
}

// Ready says why no backend can be used, or nil when one can: the scanner of
// one team being down must not take the reports of all others away. Images of a
// backend that is down are answered with that as the reason.
func (r *Router) Ready(ctx context.Context) error {
	errs := make([]error, len(r.routes))
	var wg sync.WaitGroup
	for i, route := range r.routes {
		wg.Go(func() {
			defer report.Recover(&errs[i])
			if errs[i] = route.Backend.Ready(ctx); errs[i] != nil && route.Prefix != "" {
				errs[i] = fmt.Errorf("for %s: %w", route.Prefix, errs[i])
			}
		})
	}
	wg.Wait()
	if slices.Contains(errs, nil) {
		return nil
	}
	return errors.Join(errs...)
}
