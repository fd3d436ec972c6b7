package admin

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/reference"
)

// Selector chooses scans: those that all of it holds for. An empty one chooses
// all.
type Selector struct {
	IDs []string `json:"ids,omitempty"`
	// Failed chooses only what failed.
	Failed    bool   `json:"failed,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// Image is a registry, a repository or what is below its path, an image with
	// its tag or digest, or a digest alone.
	Image string `json:"image,omitempty"`
	// All says that an empty one is meant.
	All bool `json:"all,omitempty"`
}

// errUnbounded keeps a forgotten argument from emptying the queue.
var errUnbounded = errors.New("nothing is chosen: name IDs, a namespace or an image, or ask for all")

// bounded returns an error for an empty selector that does not say that it is
// meant.
func (s *Selector) bounded() error {
	if len(s.IDs) == 0 && s.Namespace == "" && s.Image == "" && !s.Failed && !s.All {
		return errUnbounded
	}
	return nil
}

// matcher returns what tells whether a scan is chosen, or what is wrong with the
// selector.
func (s *Selector) matcher() (func(*Scan) bool, error) {
	image, err := imageMatcher(s.Image)
	if err != nil {
		return nil, err
	}
	return func(c *Scan) bool {
		return (len(s.IDs) == 0 || slices.Contains(s.IDs, c.ID)) &&
			(!s.Failed || c.State == Failed) &&
			(s.Namespace == "" || s.Namespace == c.Namespace) &&
			image(c)
	}, nil
}

func imageMatcher(image string) (func(*Scan) bool, error) {
	switch {
	case image == "":
		return func(*Scan) bool { return true }, nil
	case strings.HasPrefix(image, "sha256:") || strings.HasPrefix(image, "sha512:"):
		return func(c *Scan) bool { return c.Digest == image || strings.HasSuffix(c.Image, "@"+image) }, nil
	}
	// nginx is a registry by its form, and a repository by what people mean.
	prefix, noPrefix := reference.ParsePrefix(image)
	named, noName := named(image)
	if noPrefix != nil && noName != nil {
		return nil, fmt.Errorf("image %.200q is no registry, repository, reference or digest: %w", image, noName)
	}
	return func(c *Scan) bool {
		if noPrefix == nil {
			if _, ok := prefix.Match(host(c.Registry), c.Repository); ok {
				return true
			}
		}
		return noName == nil && named(c)
	}, nil
}

// named matches an image by its repository, and its tag or digest where it has
// one.
func named(image string) (func(*Scan) bool, error) {
	ref, err := reference.Parse(image)
	if err != nil {
		return nil, err
	}
	repository, identifier := reference.Repository(ref.Context()), ref.Identifier()
	_, pinned := ref.(name.Digest)
	tagged := strings.HasSuffix(image, ":"+identifier)
	return func(c *Scan) bool {
		there, err := reference.Parse(c.Image)
		if err != nil || reference.Repository(there.Context()) != repository {
			return false
		}
		switch {
		case pinned:
			return c.Digest == identifier || there.Identifier() == identifier
		case tagged:
			return c.Tag == identifier
		}
		return true
	}, nil
}

func host(registry string) string {
	if u, err := url.Parse(registry); err == nil && u.Host != "" {
		return u.Host
	}
	return registry
}
