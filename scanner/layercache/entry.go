package layercache

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// entry is what a file name in the cache says.
type entry struct {
	key     key
	content string // SHA-256 of the file, in hex
}

// key is where a layer is from.
type key struct {
	scope string // of the registry, in hex
	layer string // SHA-256 of the layer as the registry has it, in hex
}

var name = regexp.MustCompile(`^([0-9a-f]{16})-([0-9a-f]{64})-([0-9a-f]{64})$`)

func parse(file string) (entry, bool) {
	m := name.FindStringSubmatch(file)
	if m == nil {
		return entry{}, false
	}
	return entry{key: key{scope: m[1], layer: m[2]}, content: m[3]}, true
}

func (e entry) String() string { return e.key.scope + "-" + e.key.layer + "-" + e.content }

// Name is the file name under which Adopt takes a layer in. It is empty when the
// layer cannot be kept: digests other than SHA-256 are not. Content is the
// SHA-256 of the unpacked layer, in hex.
func Name(registry, digest, content string) string {
	e, ok := entryOf(registry, digest, content)
	if !ok {
		return ""
	}
	return e.String()
}

func entryOf(registry, digest, content string) (entry, bool) {
	k, ok := keyOf(registry, digest)
	if !ok {
		return entry{}, false
	}
	// Whatever does not look like an entry must not become part of a path.
	return parse(entry{key: k, content: content}.String())
}

func keyOf(registry, digest string) (key, bool) {
	layer, ok := strings.CutPrefix(digest, "sha256:")
	if !ok {
		return key{}, false
	}
	sum := sha256.Sum256([]byte(strings.ToLower(registry)))
	return key{scope: hex.EncodeToString(sum[:8]), layer: layer}, true
}
