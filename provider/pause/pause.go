// Package pause waits for a while and no longer than somebody wants the outcome. What is
// tried again and again, pauses between.
package pause

import (
	"context"
	"time"
)

// For waits for d. It is false when ctx ends first.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
