package bus_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bus"
)

// figures prints what writes and reads take. It asserts only that they are right.
func figures(t *testing.T, name string, b *bus.Bus, n int) {
	t.Helper()
	value := make([]byte, 50<<10)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	k := bucketOf(t, b, unique(), bus.BucketOptions{MaxBytes: 1 << 30})
	put(t, k, "first", "")
	each := func(do func(i int)) time.Duration {
		begun := time.Now()
		for i := range n {
			do(i)
		}
		return (time.Since(begun) / time.Duration(n)).Round(time.Microsecond)
	}
	writes := each(func(i int) { put(t, k, fmt.Sprintf("k.%d", i), string(value)) })
	reads := each(func(i int) { wantValue(t, k, fmt.Sprintf("k.%d", i), string(value)) })
	begun := time.Now()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				if _, err := k.Put(within(t), fmt.Sprintf("p.%d", i), value, nil); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%s, 50 KiB: one write %s, one read %s; 16 writers at once %.0f a second", name, writes, reads, float64(n)/time.Since(begun).Seconds())
}
