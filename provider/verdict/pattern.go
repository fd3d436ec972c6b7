package verdict

import (
	"errors"
	"fmt"
	"path"
	"strings"

	patterns "github.com/imagegate/imagegate/provider/pattern"
	"github.com/imagegate/imagegate/provider/reference"
)

// pattern names the images of an exception. There are five forms, all of them
// compared spelled out (nginx is docker.io/library/nginx), so that a
// reference matches however it is written:
//
//	ghcr.io/acme/            everything below; the final slash makes it so
//	ghcr.io/acme/web         this repository, whatever the tag or digest
//	ghcr.io/acme/web:1.2     this tag, of references without a digest and of pinned
//	                         ones for which the provider vouches
//	ghcr.io/acme/web@sha256: this digest, of the index or of the manifest
//	*                        every image
//
// A name never matches a longer one: nginx is not nginx-evil, nor nginx/evil.
type pattern struct {
	any        bool
	below      string
	repository string
	tag        string
	digest     string
}

func parsePattern(s string) (pattern, error) {
	if s == "*" {
		return pattern{any: true}, nil
	}
	if err := patterns.Stray(s); err != nil {
		return pattern{}, err
	}
	switch {
	case strings.HasSuffix(s, "/"):
		return parseFolder(s)
	case strings.Contains(s, "@"):
		d, err := reference.ParseDigest(s)
		if err != nil {
			return pattern{}, unreadable(err)
		}
		return pattern{repository: reference.Repository(d.Context()), digest: d.DigestStr()}, nil
	}
	if bare, _, _ := strings.Cut(s, ":"); !strings.Contains(s, "/") && looksLikeRegistry(bare) {
		return pattern{}, errors.New("it reads as a repository of Docker Hub: to mean a registry end it with a slash")
	}
	t, err := reference.ParseTag(s)
	if err != nil {
		return pattern{}, unreadable(err)
	}
	p := pattern{repository: reference.Repository(t.Context())}
	if strings.Contains(path.Base(s), ":") {
		p.tag = t.TagStr()
	}
	return p, nil
}

// parseFolder spells out a prefix by way of a repository below it. It takes
// two more components because one alone would be put under library/.
func parseFolder(s string) (pattern, error) {
	const inside = "a/b"
	r, err := reference.ParseRepository(s + inside)
	if err != nil {
		return pattern{}, unreadable(err)
	}
	return pattern{below: strings.TrimSuffix(reference.Repository(r), inside)}, nil
}

func unreadable(err error) error { return fmt.Errorf("it is no pattern of images: %w", err) }

func looksLikeRegistry(s string) bool { return s == "localhost" || strings.Contains(s, ".") }

// String returns the pattern spelled out: the same for all ways to write it.
func (p pattern) String() string {
	switch {
	case p.any:
		return "*"
	case p.below != "":
		return p.below
	case p.digest != "":
		return p.repository + "@" + p.digest
	case p.tag != "":
		return p.repository + ":" + p.tag
	}
	return p.repository
}

func (p pattern) matches(i image) bool {
	switch {
	case p.any:
		return true
	case i.repository == "":
		return false
	case p.below != "":
		return strings.HasPrefix(i.repository, p.below)
	case p.repository != i.repository:
		return false
	case p.digest != "":
		return i.has(p.digest)
	}
	return p.tag == "" || p.tag == i.tag
}

// parsePatterns reads the images of one exception.
func parsePatterns(in []string) ([]pattern, error) {
	if len(in) == 0 {
		return nil, errors.New("images: missing; name repositories, or write \"*\" for every image")
	}
	var errs []error
	seen := map[string]bool{}
	out := make([]pattern, 0, len(in))
	for i, s := range in {
		p, err := parsePattern(s)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("images[%d]: %q: %w", i, s, err))
		case seen[p.String()]:
			errs = append(errs, fmt.Errorf("images[%d]: %q: it is there twice", i, s))
		default:
			seen[p.String()] = true
			out = append(out, p)
		}
	}
	return out, errors.Join(errs...)
}
