package attached

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/turns"
)

// TestAttachmentsThatHangLeaveReadersToOthers: as many as one namespace has.
func TestAttachmentsThatHangLeaveReadersToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Finder{options: Options{Concurrency: 4}, slots: turns.New(turns.Limits{Turns: 4, Waiting: maxWaiting})}
		of := func(namespace string) *lookup { return &lookup{Finder: f, image: backend.Image{Share: namespace}} }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 3 {
			go func() {
				_ = of("evil").each(ctx, 32, func(ctx context.Context, _ int) error {
					<-ctx.Done()
					return ctx.Err()
				})
			}()
		}
		synctest.Wait()
		var read atomic.Int32
		if err := of("good").each(t.Context(), 5, func(context.Context, int) error { read.Add(1); return nil }); err != nil || read.Load() != 5 {
			t.Errorf("%d of 5 read: %v", read.Load(), err)
		}
	})
}
