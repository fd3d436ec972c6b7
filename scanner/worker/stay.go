package worker

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// clients counts who is connected. A provider that shares a Pod with the worker is told
// to end together with it and goes on answering until another replica does. It asks the
// worker all that time, over connections that it keeps; when its process is over they
// are closed.
type clients struct {
	connected atomic.Int64
	last      atomic.Int64 // when that changed, in Unix nanoseconds
}

// gone is how long nobody may have been connected to count as gone: longer than a client
// needs to connect anew.
const gone = time.Second

// note is an http.Server's ConnState.
func (c *clients) note(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.connected.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.connected.Add(-1)
	case http.StateActive, http.StateIdle:
		return
	}
	c.last.Store(time.Now().UnixNano())
}

func (c *clients) areGone() bool {
	return c.connected.Load() <= 0 && time.Since(time.Unix(0, c.last.Load())) >= gone
}

// stay returns when all clients are gone, after limit, or when ctx ends.
func (c *clients) stay(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(gone / 10)
	defer tick.Stop()
	for ctx.Err() == nil && !c.areGone() {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
