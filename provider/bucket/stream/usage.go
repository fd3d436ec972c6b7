package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/imagegate/imagegate/provider/bucket"
)

const (
	// usageFor is how long it counts what was said of a stream's size, with what
	// this process has written since. Others write too: the bound is about.
	usageFor = time.Second
	// usageAgain is how soon it is asked again when there seems to be no room.
	usageAgain = 100 * time.Millisecond
	// mostReserve bounds the room that Create and Put leave to the others.
	leastReserve, mostReserve = 256 << 10, 64 << 20
)

// reserve is how much more the stream takes than its bucket. A server that is
// full refuses deletions, which are messages, and a cluster replacements too.
func reserve(bytes int64) int64 { return min(bytes, mostReserve) + leastReserve }

// overhead is what a message takes beside its value, about: its id, what it
// expects, and the server's own.
func (b *Bucket) overhead(key string) int { return len(b.subject(key)) + 150 }

// usage is how large the stream is.
type usage struct {
	mu    sync.Mutex
	bytes int64
	asked time.Time
}

func (u *usage) add(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes += int64(n)
}

// get returns the size, and whether it was asked for within the time.
func (u *usage) get(within time.Duration) (bytes int64, fresh bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes, !u.asked.IsZero() && time.Since(u.asked) < within
}

func (u *usage) set(bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes, u.asked = bytes, time.Now()
}

// room returns ErrFull when so many more bytes are too many. What cannot be asked
// for is left to the server to refuse.
func (b *Bucket) room(ctx context.Context, more int) error {
	if b.o.MaxBytes == 0 {
		return nil
	}
	bytes, fresh := b.used.get(usageFor)
	if fresh && bytes+int64(more) > b.o.MaxBytes {
		_, fresh = b.used.get(usageAgain)
	}
	if !fresh {
		s, err := b.ensure(ctx)
		if err != nil {
			return nil //nolint:nilerr // the write itself says so
		}
		info, err := call(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.stream.Info(ctx) })
		if err != nil {
			return nil //nolint:nilerr // the write itself says so
		}
		b.used.set(int64(info.State.Bytes))
		bytes = int64(info.State.Bytes)
	}
	if bytes+int64(more) > b.o.MaxBytes {
		return fmt.Errorf("%w: bucket %s holds %d bytes of %d", bucket.ErrFull, b.name, bytes, b.o.MaxBytes)
	}
	return nil
}
