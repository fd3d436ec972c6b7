package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxOwner is the length of a Kubernetes namespace.
const maxOwner = 63

// ownerName is a namespace as it is written beside reports. What is no name of
// one, which an asker may send as well, has a name of its own all the same.
func ownerName(namespace string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-."
	if namespace != "" && len(namespace) <= maxOwner && strings.Trim(namespace, letters) == "" {
		return namespace
	}
	sum := sha256.Sum256([]byte(namespace))
	return "_" + hex.EncodeToString(sum[:16])
}
