package reference

import (
	"fmt"
	"strings"

	"github.com/imagegate/imagegate/provider/pattern"
)

// Prefix is a registry, or the repositories at and below a path of it. It
// matches whole components. One component of Docker Hub is read both ways:
// docker.io/nginx is what is below nginx/ and is library/nginx. The zero Prefix
// matches every image, least closely of all.
type Prefix struct {
	host, path string
}

// ParsePrefix reads host[:port][/path]. What no image can match is refused.
func ParsePrefix(s string) (Prefix, error) {
	if s != "" {
		if err := pattern.Stray(s); err != nil {
			return Prefix{}, err
		}
	}
	first, path, _ := strings.Cut(strings.TrimSuffix(s, "/"), "/")
	host, err := ParseHost(first)
	if err != nil {
		return Prefix{}, fmt.Errorf("its host %.200q %w", first, err)
	}
	if path != "" {
		if _, err := ParseRepository("registry.invalid/" + path); err != nil {
			return Prefix{}, fmt.Errorf("its path cannot be one of an image: %w", err)
		}
	}
	return Prefix{host: host, path: path}, nil
}

// String returns the prefix in its one spelling.
func (p Prefix) String() string {
	if p.path == "" {
		return p.host
	}
	return p.host + "/" + p.path
}

// Match reports whether the prefix matches a repository of a registry, given in
// any spelling of it, and how closely: of several that match, the one with the
// greatest closeness says most about the repository.
func (p Prefix) Match(host, repository string) (closeness int, ok bool) {
	if p == (Prefix{}) {
		return 0, true
	}
	host = Host(host)
	if host != p.host {
		return 0, false
	}
	if p.path == "" {
		return len(p.host), true
	}
	repository = fullPath(host, repository)
	for _, path := range p.paths() {
		if repository == path || strings.HasPrefix(repository, path+"/") {
			return len(p.host) + 1 + len(path), true
		}
	}
	return 0, false
}

// Clashes reports whether both match one repository equally closely.
func (p Prefix) Clashes(other Prefix) bool {
	if p.host != other.host {
		return false
	}
	for _, a := range p.paths() {
		for _, b := range other.paths() {
			if a == b {
				return true
			}
		}
	}
	return false
}

func (p Prefix) paths() []string {
	if full := fullPath(p.host, p.path); p.path != "" && full != p.path {
		return []string{p.path, full}
	}
	return []string{p.path}
}
