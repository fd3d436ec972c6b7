package attached

import (
	"errors"
	"net/http"
	"time"

	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/registry/transport"
)

// How soon the attachments of an image are looked for again after a look-up
// failed: each time costs a scan.
const (
	afterPassing = 5 * time.Minute
	afterLasting = time.Hour
)

// again is how soon a scan is worth making again whose look-up failed with err.
func again(err error) time.Duration {
	if busy, ok := errors.AsType[*busyError](err); ok {
		return max(busy.after, afterPassing)
	}
	if isLasting(err) {
		return afterLasting
	}
	return afterPassing
}

// isLasting reports whether the same look-up fails until somebody changes the
// attachments or the rights to read them.
func isLasting(err error) bool {
	for _, lasting := range []error{errMorePages, errTooMany, transport.ErrTooLarge, errUnusable} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	te, ok := errors.AsType[*remotetransport.Error](err)
	return ok && te.StatusCode < http.StatusInternalServerError &&
		te.StatusCode != http.StatusTooManyRequests && te.StatusCode != http.StatusRequestTimeout
}
