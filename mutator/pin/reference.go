package pin

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/reference"
)

// Check reports whether what was written is a reference that a container runtime could pull,
// and whether it has a digest already. The error is a sentence for the Pod's
// author.
func Check(written string) (pinned bool, err error) {
	ref, err := reference.Parse(written)
	if err != nil {
		return false, invalid(err)
	}
	_, pinned = ref.(name.Digest)
	return pinned, nil
}

func invalid(err error) error {
	return fmt.Errorf("not a valid image reference: %w", err)
}

// Pin returns what was written with the digest of answer, which must be a pinned
// reference of the same repository. The repository stays spelled as it was.
// keepTag also keeps a tag that was spelled out.
func Pin(written, answer string, keepTag bool) (string, error) {
	tag, err := reference.ParseTag(written)
	if err != nil {
		return "", invalid(err)
	}
	digest, err := reference.ParseDigest(answer)
	if err != nil {
		return "", fmt.Errorf("the provider answered %q, which is not a pinned reference", answer)
	}
	if digest.Context().Name() != tag.Context().Name() {
		return "", fmt.Errorf("the provider answered %q, which is another repository", answer)
	}
	base := written
	if !keepTag {
		// A tag that is not spelled out reads as latest; then the suffix, if
		// any, would have been the tag. So this cuts exactly a written tag.
		base = strings.TrimSuffix(written, ":"+tag.TagStr())
	}
	pinned := base + "@" + digest.DigestStr()
	again, err := reference.ParseDigest(pinned)
	if err != nil || again.Context().Name() != tag.Context().Name() {
		return "", fmt.Errorf("%q does not pin its repository", pinned)
	}
	return pinned, nil
}

// Pin is the function Pin for an image of p. Where no annotation can keep the
// original, the pinned reference spells its tag out whatever keepTag says: rules
// by tag have nothing else to go by.
func (p *Pod) Pin(written, answer string, keepTag bool) (string, error) {
	if !p.location.ephemeralOnly {
		return Pin(written, answer, keepTag)
	}
	tag, err := reference.ParseTag(written)
	if err != nil {
		return "", invalid(err)
	}
	if suffix := ":" + tag.TagStr(); !strings.HasSuffix(written, suffix) {
		written += suffix
	}
	return Pin(written, answer, true)
}

// sameRepository reports whether both are references of one repository.
func sameRepository(a, b string) bool {
	x, errX := reference.Parse(a)
	y, errY := reference.Parse(b)
	return errX == nil && errY == nil && reference.Repository(x.Context()) == reference.Repository(y.Context())
}
