package bus_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
)

// TestWhatIsRemovedTakesRoomForAWhileOnly: a queue is emptied as fast as it is
// filled, and must not be full of what is over.
func TestWhatIsRemovedTakesRoomForAWhileOnly(t *testing.T) {
	t.Parallel()
	b, _ := open(t, bus.Options{DataDir: t.TempDir()})
	ready(t, b)
	k := bucketOf(t, b, unique(), bus.BucketOptions{MaxBytes: 256 << 10, MarkerTTL: 2 * time.Second})
	ctx, n := within(t), 0
	come := func() error {
		n++
		key := fmt.Sprintf("ask.%032x.%032x", n, n)
		r, err := k.Create(ctx, key, []byte("x"))
		if err != nil {
			return err
		}
		return k.Delete(ctx, key, r)
	}
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		err := come()
		if errors.Is(err, bucket.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("full of %d keys that are gone", n)
	eventually(t, "there is room again", func() bool { return come() == nil })
}
