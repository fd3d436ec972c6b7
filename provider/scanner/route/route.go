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
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner"
)

// Backend is a scanner that images can be sent to.
type Backend interface {
	// Scan scans one image manifest. Errors are *report.Failure.
	Scan(ctx context.Context, image scanner.Image) (*report.Scan, error)
	// Ready says why the scanner cannot be used, or nil.
	Ready(ctx context.Context) error
	// Generation says what a scan would be based on now.
	Generation(ctx context.Context) (scanner.Generation, error)
}

// Route is a backend for the images below Prefix.
type Route struct {
	// Prefix is a registry or a repository path, without scheme, tag or digest:
	// "registry.example.com", "docker.io/library", "ghcr.io/team/app". It
	// matches whole path components only. Empty matches every image.
	Prefix  string
	Backend Backend
}

// Router is the backends in the order of their prefixes' length, longest
// first.
type Router struct {
	routes []Route
}

// New checks the prefixes and returns a Router. One route must have the empty
// prefix, so that no image is without a scanner.
func New(routes ...Route) (*Router, error) {
	sorted := make([]Route, len(routes))
	seen := map[string]bool{}
	for i, r := range routes {
		prefix, err := canonical(r.Prefix)
		if err != nil {
			return nil, fmt.Errorf("prefix %q: %w", r.Prefix, err)
		}
		if seen[prefix] {
			return nil, fmt.Errorf("prefix %q is routed twice", r.Prefix)
		}
		seen[prefix] = true
		sorted[i] = Route{Prefix: prefix, Backend: r.Backend}
	}
	if !seen[""] {
		return nil, errors.New("no scanner is configured for images that match no prefix")
	}
	slices.SortFunc(sorted, func(a, b Route) int { return len(b.Prefix) - len(a.Prefix) })
	return &Router{routes: sorted}, nil
}

// canonical spells a prefix as go-containerregistry spells repositories, so
// that docker.io and index.docker.io are one registry.
func canonical(prefix string) (string, error) {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return "", nil
	}
	if strings.Contains(prefix, "://") {
		return "", errors.New("must not have a scheme")
	}
	host, path, _ := strings.Cut(prefix, "/")
	registry, err := name.NewRegistry(host)
	if err != nil {
		return "", err
	}
	if path == "" {
		return registry.RegistryStr(), nil
	}
	if _, err := name.NewRepository(prefix); err != nil {
		return "", err
	}
	return registry.RegistryStr() + "/" + path, nil
}

// Scan sends the image to the backend with the longest matching prefix.
func (r *Router) Scan(ctx context.Context, image scanner.Image) (*report.Scan, error) {
	host := image.Registry
	if u, err := url.Parse(image.Registry); err == nil && u.Host != "" {
		host = u.Host
	}
	repository := host + "/" + image.Repository + "/"
	for _, route := range r.routes {
		if route.Prefix == "" || strings.HasPrefix(repository, route.Prefix+"/") {
			return route.Backend.Scan(ctx, image)
		}
	}
	return nil, &report.Failure{Reason: report.ReasonInternal, Message: "no scanner is configured for " + host + "/" + image.Repository}
}

// Ready reports every backend that cannot be used.
func (r *Router) Ready(ctx context.Context) error {
	var errs []error
	for _, route := range r.routes {
		if err := route.Backend.Ready(ctx); err != nil {
			if route.Prefix != "" {
				err = fmt.Errorf("for %s: %w", route.Prefix, err)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Generations returns what every backend is based on, or an error when one of
// them cannot tell.
func (r *Router) Generations(ctx context.Context) ([]scanner.Generation, error) {
	out := make([]scanner.Generation, 0, len(r.routes))
	for _, route := range r.routes {
		g, err := route.Backend.Generation(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}
