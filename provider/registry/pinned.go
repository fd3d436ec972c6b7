package registry

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/reference"
)

// Pinned returns what was written with digest in the place of its tag, in its own
// spelling: the tag is cut off rather than the repository printed, which would
// spell out the default registry that the Pod's author left away. A reference
// that names a digest is returned as it is.
func Pinned(written, digest string) (string, error) {
	ref, err := reference.Parse(written)
	if err != nil {
		return "", err
	}
	if _, pinned := ref.(name.Digest); pinned {
		return written, nil
	}
	return strings.TrimSuffix(written, ":"+ref.Identifier()) + "@" + digest, nil
}
