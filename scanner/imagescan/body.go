package imagescan

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
)

// errStalled is the cause of a request's end when nothing came for too long.
var errStalled = errors.New("the registry sends nothing")

// watched is a transport whose bodies do not wait for ever: a registry that
// stops sending would hold the worker's place until the scan's time is over.
// It also keeps apart a transfer that failed, which may go better next time,
// and content that is wrong, which stays wrong.
type watched struct {
	base http.RoundTripper
	// stall is how long nothing may come while somebody reads; zero is for ever.
	stall time.Duration
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	resp, err := w.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, caller: r.Context(), cancel: cancel, stall: w.stall, host: r.URL.Host}
	return resp, nil
}

// body is what a registry answers.
type body struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // of the request that the body belongs to
	caller context.Context //nolint:containedctx // what ctx was made from
	cancel context.CancelCauseFunc
	stall  time.Duration
	host   string
}

// Read counts only the time it waits itself: whoever unpacks slowly is not the
// registry.
func (b *body) Read(p []byte) (int, error) {
	if b.stall > 0 {
		timer := time.AfterFunc(b.stall, func() { b.cancel(errStalled) })
		defer timer.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case b.caller.Err() != nil:
		return n, err // the scan ends, and says why itself
	case errors.Is(context.Cause(b.ctx), errStalled):
		return n, failure.Wrap(failure.Registry, err, "the registry stopped sending the image: nothing came from %s for %s", short(b.host), b.stall)
	default:
		return n, failure.Wrap(failure.Registry, err, "the registry broke off while it sent the image from %s", short(b.host))
	}
}

// Close ends the request too.
func (b *body) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
