package remote

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// maxRetryAfter bounds what a scanner may ask for.
const maxRetryAfter = 10 * time.Minute

// LongestPause is how long a scan sits out a pause that the scanner asked for.
// A longer one is a failure at once, which says when to come back: all scans
// share the pause, and would hold all workers until its end.
const LongestPause = 10 * time.Second

// turn waits until the client may ask the scanner again: for a pause that the
// scanner asked for, then for the rate limit. When the context ends before
// that, nothing is waited for.
func (c *Client) turn(ctx context.Context) error {
	for {
		c.mu.Lock()
		left := time.Until(c.paused)
		c.mu.Unlock()
		if left <= 0 {
			break
		}
		if end, ok := ctx.Deadline(); left > LongestPause || ok && time.Until(end) < left {
			return &report.Failure{
				Reason:     report.ReasonUnavailable,
				Message:    fmt.Sprintf("the scanner is busy and wants to be left alone for %s", left.Round(time.Second)),
				RetryAfter: left,
			}
		}
		if err := Sleep(ctx, left); err != nil {
			return err
		}
	}
	if err := c.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return Ended(ctx)
		}
		return &report.Failure{
			Reason:  report.ReasonUnavailable,
			Message: "too much is asked of the scanner at once; try again later",
			Err:     err,
		}
	}
	return nil
}

// notice starts a pause when the answer asks for one. All scans share it: they
// are one client to the scanner.
func (c *Client) notice(r *Reply) {
	if r.Status != http.StatusTooManyRequests && r.Status != http.StatusServiceUnavailable {
		return
	}
	until := time.Now().Add(r.RetryAfter())
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.After(c.paused) {
		c.paused = until
	}
}

// RetryAfter is the Delay of the header of that name, at most ten minutes.
func (r *Reply) RetryAfter() time.Duration { return Delay(r.Header, "Retry-After", maxRetryAfter) }

// Delay reads a header in seconds, or as an HTTP date, and bounds it. It is
// zero when there is none.
func Delay(h http.Header, name string, most time.Duration) time.Duration {
	s := h.Get(name)
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, most)
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(time.Until(at), 0), most)
	}
	return 0
}
