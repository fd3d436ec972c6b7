package registry

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Pinned returns reference with digest in the place of its tag, in its own
// spelling: the tag is cut off rather than the repository printed, which would
// spell out the default registry that the Pod's author left away. A reference
// that names a digest is returned as it is.
func Pinned(reference, digest string) (string, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return "", err
	}
	if _, pinned := ref.(name.Digest); pinned {
		return reference, nil
	}
	return strings.TrimSuffix(reference, ":"+ref.Identifier()) + "@" + digest, nil
}
