// Package reference reads image references and names registries, for every
// part of imagegate. Two readers that differ in what a reference means let an
// author pick, by the spelling, whose rules hold: a route's, an exception's, a
// registry's share of the scanners. So there is one reader, one spelling of a
// host and one meaning of a prefix, and they are here.
package reference

import (
	"errors"
	"fmt"
	"strings"

	distribution "github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxBytes is above what host, repository, tag and digest may have in all.
	maxBytes = 1024
	// maxWhy bounds what is said of a reference that is none.
	maxWhy = 200
)

var (
	errLong      = fmt.Errorf("it has more than %d bytes", maxBytes)
	errPath      = errors.New("no container runtime takes its name: components of a path begin and end with a letter or digit, and none is empty or made of dots")
	errUpper     = errors.New("its repository has upper case, and no image's has")
	errAmbiguous = errors.New("container runtimes differ in which registry it names")
)

// Parse reads a reference as it stands in a Pod. It takes what both
// go-containerregistry, which speaks to registries, and the parser of container
// runtimes take, and only when they mean the same by it: with the first alone
// "registry.example.com/../api/x:1" is a request for another path of that
// server. The error is one short sentence that does not repeat s.
func Parse(s string) (name.Reference, error) {
	if len(s) > maxBytes {
		return nil, errLong
	}
	ref, err := name.ParseReference(s)
	if err != nil {
		return nil, why(s, err)
	}
	named, err := distribution.ParseNormalizedNamed(s)
	if err != nil {
		return nil, why(s, errPath)
	}
	repo := ref.Context()
	if Host(distribution.Domain(named)) != Host(repo.RegistryStr()) || distribution.Path(named) != repo.RepositoryStr() {
		return nil, errAmbiguous
	}
	return ref, nil
}

// why says what is wrong with s. The library's words for the two mistakes that people
// make most are a call of its own and s once more.
func why(s string, err error) error {
	if scheme, rest, found := strings.Cut(s, "://"); found {
		if _, parseErr := name.ParseReference(rest); parseErr == nil {
			return fmt.Errorf("a reference has no %s://", report.Clean(scheme, maxWhy))
		}
	}
	if low := strings.ToLower(s); low != s {
		if _, parseErr := name.ParseReference(low); parseErr == nil {
			return errUpper
		}
	}
	return errors.New(report.Clean(err.Error(), maxWhy))
}

// ParseTag is Parse for a reference without digest.
func ParseTag(s string) (name.Tag, error) {
	ref, err := Parse(s)
	if err != nil {
		return name.Tag{}, err
	}
	tag, ok := ref.(name.Tag)
	if !ok {
		return name.Tag{}, errors.New("it has a digest")
	}
	return tag, nil
}

// ParseDigest is Parse for a reference with digest.
func ParseDigest(s string) (name.Digest, error) {
	ref, err := Parse(s)
	if err != nil {
		return name.Digest{}, err
	}
	digest, ok := ref.(name.Digest)
	if !ok {
		return name.Digest{}, errors.New("it has no digest")
	}
	return digest, nil
}

// ParseRepository reads a repository, without tag or digest.
func ParseRepository(s string) (name.Repository, error) {
	ref, err := Parse(s)
	if err != nil {
		return name.Repository{}, err
	}
	if strings.Contains(s, "@") || strings.Contains(s[strings.LastIndex(s, "/")+1:], ":") {
		return name.Repository{}, errors.New("it has a tag or a digest")
	}
	return ref.Context(), nil
}

// Repository is the one spelling of a repository: the canonical host and the
// whole path, index.docker.io/library/nginx.
func Repository(repo name.Repository) string {
	host := Host(repo.RegistryStr())
	return host + "/" + fullPath(host, repo.RepositoryStr())
}
