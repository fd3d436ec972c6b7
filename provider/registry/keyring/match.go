package keyring

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/reference"
)

// key is what an entry is for: a host, in which a label may have wildcards
// (*.example.com), its port if it is written, and the beginning of a path.
type key struct {
	host, port, path string
}

func parseKey(s string) (key, error) {
	if !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return key{}, errors.New("its name is no registry or URL")
	}
	// Docker once wrote the address of the API in the place of the registry.
	p := u.Path
	for _, version := range []string{"/v1", "/v2"} {
		if p == version || strings.HasPrefix(p, version+"/") {
			p = strings.TrimPrefix(p, version)
		}
	}
	k := key{host: hub(u.Hostname()), port: u.Port(), path: strings.TrimSuffix(p, "/")}
	if _, err := path.Match(k.host, ""); err != nil {
		return key{}, errors.New("its name is no valid pattern of hosts")
	}
	return k, nil
}

// hub has the names of Docker Hub that stand in references and configurations be
// one.
func hub(host string) string {
	host = strings.ToLower(host)
	if host == "docker.io" {
		return reference.DockerHub
	}
	return host
}

// compare orders keys so that of two that match one image the greater says more
// about it: the longer path, then the host that is written out.
func (k key) compare(other key) int {
	if n := len(k.path) - len(other.path); n != 0 {
		return n
	}
	if a, b := strings.Contains(k.host, "*"), strings.Contains(other.host, "*"); a != b {
		if a {
			return -1
		}
		return 1
	}
	return strings.Compare(k.host+k.path, other.host+other.path)
}

// matches follows the kubelet: as many labels, each by its own pattern, the port
// as it is written, and a path that begins with the key's.
func (k key) matches(repo name.Repository) bool {
	u := url.URL{Host: repo.RegistryStr()}
	if u.Port() != k.port || !strings.HasPrefix("/"+repo.RepositoryStr(), k.path) {
		return false
	}
	globs, labels := strings.Split(k.host, "."), strings.Split(hub(u.Hostname()), ".")
	if len(globs) != len(labels) {
		return false
	}
	for i, glob := range globs {
		if ok, err := path.Match(glob, labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// For returns what the configuration has for a repository, in the order in which
// it is to be tried: the longest path first. The error names the entries for it
// that cannot be read, when there are no others.
func (c *Config) For(repo name.Repository) ([]authn.AuthConfig, error) {
	var list []authn.AuthConfig
	var errs []error
	for _, e := range c.entries {
		switch {
		case !e.key.matches(repo):
		case e.err != nil:
			errs = append(errs, fmt.Errorf("its entry %.200q cannot be read: %w", e.name, e.err))
		default:
			list = append(list, e.config)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, errors.Join(errs...)
}
