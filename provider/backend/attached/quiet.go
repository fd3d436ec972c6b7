package attached

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxQuiet bounds the hosts remembered: they are named by Pods' authors.
	maxQuiet = 1024
	// longestQuiet bounds what a registry may ask for.
	longestQuiet = 24 * time.Hour
)

// quiet remembers which registries asked to be left alone, and until when, for
// all look-ups that open them by the same authorization. Registries count by it:
// what one account used up must not keep another's attachments from being found.
type quiet struct {
	now   func() time.Time
	until *lru.Cache[quietKey, time.Time]
}

// quietKey is a canonical host and the authorization, hashed.
type quietKey struct {
	host string
	by   [sha256.Size]byte
}

func keyOf(host, authorization string) quietKey {
	return quietKey{reference.Host(host), sha256.Sum256([]byte(authorization))}
}

func newQuiet(now func() time.Time) (*quiet, error) {
	until, err := lru.New[quietKey, time.Time](maxQuiet)
	if err != nil {
		return nil, fmt.Errorf("making the memory of busy registries: %w", err)
	}
	return &quiet{now: now, until: until}, nil
}

// busyError is a registry's request to be left alone for a while.
type busyError struct {
	host  string
	after time.Duration
}

func (e *busyError) Error() string {
	return fmt.Sprintf("%s asked to be left alone for %s", report.Clean(e.host, maxSaid), e.after.Round(time.Second))
}

// check fails for a host that is to be left alone.
func (q *quiet) check(host, authorization string) error {
	key := keyOf(host, authorization)
	until, ok := q.until.Get(key)
	if after := until.Sub(q.now()); ok && after > 0 {
		return &busyError{host: key.host, after: after}
	}
	return nil
}

// heed remembers what an answer asks for, and fails with it.
func (q *quiet) heed(host, authorization string, resp *http.Response) error {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return nil
	}
	after := remote.Delay(resp.Header, "Retry-After", longestQuiet)
	if after <= 0 {
		return nil
	}
	key := keyOf(host, authorization)
	q.until.Add(key, q.now().Add(after))
	return &busyError{host: key.host, after: after}
}
