package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// calls are requests that go past the API server at a steady rate, each over a
// connection of its own, so that every one meets the certificates of that moment. The
// API server itself judges a quarter of what certificates have to bear here.
type calls struct {
	what   string
	cancel context.CancelFunc
	began  time.Time
	done   sync.WaitGroup

	mu      sync.Mutex
	asked   int
	waiting int // told to ask again
	lost    map[string]int
}

// errAgain is of a call that was answered, and told to ask again shortly.
var errAgain = errors.New("ask again")

// startCalls has so many a second made.
func startCalls(t *testing.T, what string, perSecond int, call func(context.Context) error) *calls {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c := &calls{what: what, cancel: cancel, began: time.Now(), lost: map[string]int{}}
	turns := make(chan struct{}, perSecond)
	c.done.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			turns <- struct{}{}
			c.done.Go(func() {
				defer func() { <-turns }()
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
				defer cancel()
				c.count(call(ctx))
			})
		}
	})
	t.Cleanup(c.stop)
	return c
}

func (c *calls) count(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	switch {
	case errors.Is(err, errAgain):
		c.waiting++
	case err != nil:
		c.lost[err.Error()]++
	}
}

func (c *calls) stop() {
	c.cancel()
	c.done.Wait()
}

// end stops them, prints what they came to, and fails the test for each that failed.
func (c *calls) end(t *testing.T, during string) {
	t.Helper()
	c.stop()
	took, lost := time.Since(c.began).Seconds(), 0
	for message, n := range c.lost {
		lost += n
		t.Errorf("%s: %d calls of %s failed: %s", during, n, c.what, message)
	}
	fmt.Printf("FIGURE %s: %d calls of %s, each over a new connection, in %.0f s (%.0f a second), %d failed, %d told to ask again\n", //nolint:forbidigo // a figure
		during, c.asked, c.what, took, float64(c.asked)/took, lost, c.waiting)
}
