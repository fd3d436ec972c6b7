package pullthrough

import (
	"context"
	"errors"
	"io"
	"time"
)

// errSlow ends the reading of a registry that sends drop by drop: it would hold
// a scan's place until the scan's deadline.
var errSlow = errors.New("the registry sends too slowly")

const (
	// paceWindow is a stretch of waiting for the registry, in which at least
	// paceLeast bytes must come.
	paceWindow = 30 * time.Second
	paceLeast  = 256 << 10
)

// paced is a body that must come at a least rate. Only the time that is spent
// waiting for the registry counts, not what the scanner takes to read on.
type paced struct {
	ctx    context.Context // the request's own, whose cause says why a read ended
	inner  io.Reader
	cancel context.CancelCauseFunc

	waited time.Duration
	came   int
	// ended says that the body came to its end, rather than being broken off.
	ended bool
}

func newPaced(ctx context.Context, inner io.Reader, cancel context.CancelCauseFunc) *paced {
	return &paced{ctx: ctx, inner: inner, cancel: cancel}
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	began := time.Now()
	slow := time.AfterFunc(paceWindow-p.waited, func() { p.cancel(errSlow) })
	n, err := p.inner.Read(b)
	slow.Stop()
	p.waited += time.Since(began)
	p.came += n
	p.ended = p.ended || errors.Is(err, io.EOF)
	if p.came >= paceLeast {
		p.waited, p.came = 0, 0
	}
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(p.ctx), errSlow) {
		err = errSlow
	}
	return n, err
}
