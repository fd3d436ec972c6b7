package bucket

import (
	"context"
	"log/slog"
	"time"

	"github.com/imagegate/imagegate/provider/pause"
)

// watchPause is that before a watch is begun again that ended by itself.
const watchPause = time.Second

// Follow watches b until ctx ends: a watch that ends by itself, because the store is away
// for instance, is begun anew. what is the bucket's content, for the log.
func Follow(ctx context.Context, log *slog.Logger, what string, b Bucket, o WatchOptions, see func(Event)) {
	for {
		err := b.Watch(ctx, o, see)
		if ctx.Err() != nil {
			return
		}
		log.Warn("following the store ended and begins anew", "of", what, "error", err)
		if !pause.For(ctx, watchPause) {
			return
		}
	}
}
