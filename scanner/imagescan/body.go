package imagescan

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/imagegate/imagegate/scanner/failure"
)

// Why a request is ended.
var (
	errStalled = errors.New("the registry sends nothing")
	errSlow    = errors.New("the registry sends too slowly")
)

// pace is what a registry has to keep up with while somebody reads from it.
// Only the time that a reader waits counts: whoever unpacks slowly is not the
// registry.
type pace struct {
	// stall is how long nothing may come; zero is for ever.
	stall time.Duration
	// least is how many bytes must come within a window; zero asks for none.
	least  int64
	window time.Duration
}

// watched is a transport whose bodies do not wait for ever: a registry that
// stops sending, or lets a byte drip now and then, would hold the worker's place
// until the scan's time is over. It also keeps apart a transfer that failed,
// which may go better next time, and content that is wrong, which stays wrong.
type watched struct {
	base http.RoundTripper
	pace pace
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	resp, err := w.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, caller: r.Context(), cancel: cancel, pace: w.pace, host: r.URL.Host}
	return resp, nil
}

// body is what a registry answers.
type body struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // of the request that the body belongs to
	caller context.Context //nolint:containedctx // what ctx was made from
	cancel context.CancelCauseFunc
	pace   pace
	host   string
	// waited and got are of the window that runs.
	waited time.Duration
	got    int64
}

// Read ends the request when nothing or too little comes.
func (b *body) Read(p []byte) (int, error) {
	if b.pace.stall > 0 {
		timer := time.AfterFunc(b.pace.stall, func() { b.cancel(errStalled) })
		defer timer.Stop()
	}
	if b.pace.least > 0 && b.got < b.pace.least {
		timer := time.AfterFunc(b.pace.window-b.waited, func() { b.cancel(errSlow) })
		defer timer.Stop()
	}
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(start)
	b.got += int64(n)
	if b.waited >= b.pace.window {
		if err == nil && b.got < b.pace.least {
			// The last bytes came just before the timer.
			b.cancel(errSlow)
			err = errSlow
		}
		b.waited, b.got = 0, 0
	}
	switch cause := context.Cause(b.ctx); {
	case err == nil || err == io.EOF:
		return n, err
	case b.caller.Err() != nil:
		return n, err // the scan ends, and says why itself
	case errors.Is(cause, errSlow):
		return n, failure.Wrap(failure.Registry, err, "the registry sends too slowly: less than %s came from %s in %s", humanize.IBytes(uint64(b.pace.least)), short(b.host), b.pace.window)
	case errors.Is(cause, errStalled):
		return n, failure.Wrap(failure.Registry, err, "the registry stopped sending the image: nothing came from %s for %s", short(b.host), b.pace.stall)
	default:
		return n, failure.Wrap(failure.Registry, err, "the registry broke off while it sent the image from %s", short(b.host))
	}
}

// Close ends the request too.
func (b *body) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
