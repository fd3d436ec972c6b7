package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Sharing says under which other names of its digest a finished scan counts.
type Sharing int

const (
	// ByName is nowhere but the registry, repository, tag and index that it was
	// made under. It is for backends whose verdict depends on the name: Anchore maps
	// policies by it, and a report is attached to the image of one repository.
	ByName Sharing = iota
	// ByRepository is under every tag of the registry and repository. It is for
	// backends that do not compare what they read with the digest: another
	// registry may have served other bytes under it.
	ByRepository
	// ByDigest is everywhere. It is for backends that verify every byte, down to
	// the layers' unpacked content, and judge by nothing else.
	ByDigest
)

// Key is what a finished scan of the image is kept under. It begins with the
// digest, consists of letters, digits, '-' and '.', and is at most 200 bytes
// long, whatever names the image has.
func (s Sharing) Key(image Image) string {
	digest := strings.Replace(image.Digest, ":", "-", 1)
	if !plain(digest) {
		digest = hashed(image.Digest)
	}
	switch s {
	case ByDigest:
		return digest
	case ByRepository:
		return digest + "." + hashed(image.Registry, image.Repository)
	default:
		return digest + "." + hashed(image.Registry, image.Repository, image.Tag, image.Index)
	}
}

const longestDigest = len("sha512-") + 128

func plain(digest string) bool {
	return digest != "" && len(digest) <= longestDigest && strings.Trim(digest, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// hashed stands for the names, which are as long as a Pod's author likes and
// hold what keys may not.
func hashed(names ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\n")))
	return hex.EncodeToString(sum[:])
}
