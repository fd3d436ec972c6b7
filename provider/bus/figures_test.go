package bus_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bus"
)

// TestFigures prints what writes and reads take; it asserts only that they are
// right.
func TestFigures(t *testing.T) {
	embedded, _ := open(t, bus.Options{DataDir: t.TempDir()})
	always, _ := open(t, bus.Options{DataDir: t.TempDir(), Sync: bus.SyncAlways})
	c := startCluster(t)
	value := make([]byte, 50<<10)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	for _, tc := range []struct {
		name string
		bus  *bus.Bus
		n    int
	}{{"embedded", embedded, 400}, {"embedded, sync always", always, 50}, {"cluster of three", c.buses[0], 200}} {
		k := bucketOf(t, tc.bus, "figures", bus.BucketOptions{MaxBytes: 1 << 30})
		put(t, k, "first", "")
		each := func(do func(i int)) time.Duration {
			begun := time.Now()
			for i := range tc.n {
				do(i)
			}
			return time.Since(begun) / time.Duration(tc.n)
		}
		writes := each(func(i int) { put(t, k, fmt.Sprintf("k.%d", i), string(value)) })
		reads := each(func(i int) { wantValue(t, k, fmt.Sprintf("k.%d", i), string(value)) })
		begun := time.Now()
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; i < tc.n; i += 16 {
					if _, err := k.Put(within(t), fmt.Sprintf("p.%d", i), value, nil); err != nil {
						t.Errorf("Put: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%-22s of 50 KiB: one write %s, one read %s; 16 writers at once %.0f a second",
			tc.name, writes.Round(time.Microsecond), reads.Round(time.Microsecond), float64(tc.n)/time.Since(begun).Seconds())
	}
}
