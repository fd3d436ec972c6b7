package pin

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Check reports whether reference is one that a container runtime could pull,
// and whether it has a digest already. The error is a sentence for the Pod's
// author.
func Check(reference string) (pinned bool, err error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return false, invalid(err)
	}
	_, pinned = ref.(name.Digest)
	return pinned, nil
}

func invalid(err error) error {
	return fmt.Errorf("not a valid image reference: %w", err)
}

// Pin returns reference with the digest of answer, which must be a pinned
// reference of the same repository. The repository stays spelled as in
// reference. keepTag also keeps the tag that reference spells out.
func Pin(reference, answer string, keepTag bool) (string, error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return "", invalid(err)
	}
	digest, err := name.NewDigest(answer)
	if err != nil {
		return "", fmt.Errorf("the provider answered %q, which is not a pinned reference", answer)
	}
	if digest.Context().Name() != tag.Context().Name() {
		return "", fmt.Errorf("the provider answered %q, which is another repository", answer)
	}
	base := reference
	if !keepTag {
		// A tag that is not spelled out reads as latest; then the suffix, if
		// any, would have been the tag. So this cuts exactly a written tag.
		base = strings.TrimSuffix(reference, ":"+tag.TagStr())
	}
	pinned := base + "@" + digest.DigestStr()
	again, err := name.NewDigest(pinned)
	if err != nil || again.Context().Name() != tag.Context().Name() {
		return "", fmt.Errorf("%q does not pin its repository", pinned)
	}
	return pinned, nil
}

// Pin is the function Pin for an image of p. Where no annotation can keep the
// original, the pinned reference spells its tag out whatever keepTag says: rules
// by tag have nothing else to go by.
func (p *Pod) Pin(reference, answer string, keepTag bool) (string, error) {
	if !p.location.ephemeralOnly {
		return Pin(reference, answer, keepTag)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return "", invalid(err)
	}
	if suffix := ":" + tag.TagStr(); !strings.HasSuffix(reference, suffix) {
		reference += suffix
	}
	return Pin(reference, answer, true)
}

// sameRepository reports whether both are references of one repository.
func sameRepository(a, b string) bool {
	x, errX := name.ParseReference(a)
	y, errY := name.ParseReference(b)
	return errX == nil && errY == nil && x.Context().Name() == y.Context().Name()
}
