package bucket

import (
	"errors"
	"fmt"
	"strings"
)

// MaxKeyBytes bounds a key.
const MaxKeyBytes = 256

// ErrKey means that a key is none by the grammar that Bucket gives.
var ErrKey = errors.New("not a key of a bucket")

// CheckKey returns an error that is ErrKey for what cannot be a key.
func CheckKey(key string) error {
	switch {
	case key == "" || len(key) > MaxKeyBytes:
		return fmt.Errorf("%w: it has %d bytes instead of 1 to %d", ErrKey, len(key), MaxKeyBytes)
	case strings.ContainsFunc(key, foreign):
		return fmt.Errorf("%w: %.80q has more than letters, digits, '-', '_' and '.'", ErrKey, key)
	case key[0] == '.' || key[len(key)-1] == '.' || strings.Contains(key, ".."):
		return fmt.Errorf("%w: %.80q has an empty part between dots", ErrKey, key)
	}
	return nil
}

func foreign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}
