// Package drain ends an HTTP server without losing a request. A server whose address
// is about to be withdrawn is still asked for seconds, over connections that it may
// not close on its own: a client that has just written to one does not try again. And
// where it is the last that answers, it is asked until another one is ready.
package drain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/imagegate/imagegate/provider/interrupt"
)

// quiet is how long nobody may have asked for anything before the server ends. In
// one Pod the mutator and the provider that it asks are told to end together.
const quiet = time.Second

// Times of an end.
type Times struct {
	// Delay is how long new requests are answered after the end was asked for, in
	// any case but that of a person who interrupts: then nothing is waited for.
	Delay time.Duration
	// Longest is for how much longer they are, as long as there are some, or nobody
	// has succeeded.
	Longest time.Duration
	// Succeeded says whether somebody else answers in our place. nil: somebody does.
	Succeeded func(context.Context) bool
	// Patience is how long those under way may go on then, before Cut is called;
	// Grace is what they have after that.
	Patience, Grace time.Duration
	// Cut ends what requests wait for. nil: nothing does.
	Cut func()
	// Ending is called once the end was asked for; may be nil.
	Ending func()
}

// Serve answers on the listener, with TLS if srv has a configuration of it, until ctx
// ends, and then for as long as t says. It returns an error when the server ended by
// itself, or requests did not end in time.
func Serve(ctx context.Context, srv *http.Server, l net.Listener, t Times) error {
	asked := &activity{next: srv.Handler, ending: ctx.Done()}
	srv.Handler = asked
	served := make(chan error, 1)
	go func() {
		if srv.TLSConfig == nil {
			served <- srv.Serve(l)
			return
		}
		served <- srv.ServeTLS(l, "", "")
	}()
	ended := func(err error) error { return fmt.Errorf("serving on %s: %w", l.Addr(), err) }
	select {
	case err := <-served:
		return ended(err)
	case <-ctx.Done():
	}
	if t.Ending != nil {
		t.Ending()
	}
	if interrupt.ByPerson(ctx) {
		t.Delay = 0
	}
	select {
	case err := <-served:
		return ended(err)
	case <-time.After(t.Delay):
	}
	if t.Delay > 0 {
		over, stop := context.WithTimeout(context.WithoutCancel(ctx), t.Longest)
		defer stop()
		succeeded := t.succeeded(over)
		for over.Err() == nil && !(asked.quiet() && closed(succeeded)) {
			select {
			case err := <-served:
				return ended(err)
			case <-time.After(quiet / 10):
			}
		}
		stop()
	}
	if t.Cut != nil {
		defer time.AfterFunc(t.Patience, t.Cut).Stop()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Patience+t.Grace)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		return fmt.Errorf("waiting for requests to end: %w", errors.Join(err, srv.Close()))
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return ended(err)
	}
	return nil
}

// succeeded returns a channel that is closed once somebody has succeeded.
func (t *Times) succeeded(ctx context.Context) <-chan struct{} {
	yes := make(chan struct{})
	go func() {
		for t.Succeeded != nil && !t.Succeeded(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(quiet / 2):
			}
		}
		close(yes)
	}()
	return yes
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// activity knows whether anybody asks. Once the end was asked for it has clients
// close their connections with the answers that they still get.
type activity struct {
	next   http.Handler
	ending <-chan struct{}

	under atomic.Int64
	last  atomic.Int64 // when a request ended, in Unix nanoseconds
}

func (a *activity) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.under.Add(1)
	defer func() {
		a.last.Store(time.Now().UnixNano())
		a.under.Add(-1)
	}()
	select {
	case <-a.ending:
		w.Header().Set("Connection", "close")
	default:
	}
	a.next.ServeHTTP(w, r)
}

func (a *activity) quiet() bool {
	return a.under.Load() == 0 && time.Since(time.Unix(0, a.last.Load())) >= quiet
}
