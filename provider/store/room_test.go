package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/store/storetest"
)

// sizeOf is what one report of so many findings takes in the store.
func sizeOf(t testing.TB, findings int) int64 {
	t.Helper()
	r := newReports(t, store.ReportsOptions{Bucket: bucket.NewMemory()})
	putReport(t, r, "shop", 1, findings)
	bytes, _ := r.Bytes()
	return bytes
}

// settled waits until room has been made.
func settled() {
	time.Sleep(3 * store.RoomWait)
	synctest.Wait()
}

func TestTheLeastRecentlyReadGoFirstWhereverTheyAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := sizeOf(t, 3)
		b, reads := newFaulty(), bucket.NewMemory()
		o := store.ReportsOptions{Bucket: b, Reads: reads, Bytes: 20*one + one/2}
		a, other := running(t, o), running(t, o)
		for i := range 20 {
			putReport(t, a, "shop", i, 3)
		}
		synctest.Wait()
		if !there(t, a, 3) || !there(t, other, 5) {
			t.Fatal("a report is gone before the store is full")
		}
		time.Sleep(2 * store.TellEvery)
		synctest.Wait()
		for i := range 2 {
			putReport(t, other, "shop", 100+i, 3)
		}
		settled()
		if bytes, n := a.Bytes(); bytes > o.Bytes || n < 16 {
			t.Errorf("%d bytes of %d, %d reports are left", bytes, o.Bytes, n)
		}
		for _, r := range []*store.Reports{a, other} {
			for _, n := range []int{3, 5, 19, 100, 101} {
				if !there(t, r, n) {
					t.Errorf("report %d is gone, which was read or written lately", n)
				}
			}
			if there(t, r, 0) {
				t.Error("the one that nobody has read since it was written is there")
			}
		}
		if deleted := b.deletes.Load(); deleted > 8 {
			t.Errorf("%d removals, by two replicas, of four reports", deleted)
		}
	})
}

// After a restart nobody knows what was read, and what was written first goes.
func TestAfterARestartTheOldestGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := sizeOf(t, 3)
		b := newFaulty()
		before := newReports(t, store.ReportsOptions{Bucket: b})
		for i := range 20 {
			putReport(t, before, "shop", i, 3)
		}
		r := running(t, store.ReportsOptions{Bucket: b, Bytes: 10*one + one/2})
		settled()
		_, n := r.Bytes()
		for i := range 20 {
			if want := i >= 20-n; there(t, r, i) != want {
				t.Errorf("report %d is there: %v, of %d that are left", i, !want, n)
			}
		}
		if n < 8 || n > 10 {
			t.Errorf("%d reports are left, want ten but for a tenth", n)
		}
	})
}

// One namespace cannot flush the reports of others.
func TestTheNamespaceWithTheMostMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := sizeOf(t, 3)
		r := running(t, store.ReportsOptions{Bucket: newFaulty(), Bytes: 50 * one})
		for i := range 10 {
			putReport(t, r, "quiet", i, 3)
		}
		for i := range 400 {
			putReport(t, r, "loud", 1000+i, 3)
			time.Sleep(time.Second)
		}
		settled()
		for i := range 10 {
			if !there(t, r, i) {
				t.Errorf("the quiet namespace's report %d is gone", i)
			}
		}
		if bytes, n := r.Bytes(); bytes > 50*one || n < 40 {
			t.Errorf("%d reports, %d bytes of %d", n, bytes, 50*one)
		}
	})
}

// Without it the image would be scanned for ever and never judged.
func TestAReportLargerThanAllIsKeptUntilTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(t, store.ReportsOptions{Bucket: newFaulty(), Bytes: sizeOf(t, 3)})
		putReport(t, r, "shop", 1, 300)
		settled()
		if !there(t, r, 1) {
			t.Error("the only report is gone")
		}
		putReport(t, r, "shop", 2, 300)
		settled()
		if there(t, r, 1) || !there(t, r, 2) {
			t.Error("the last report is not the one that is left")
		}
	})
}

// The bucket's bound, or the disk's, may be lower than ours.
func TestAFullBucketMakesRoomAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		b.room = 20
		r := running(t, store.ReportsOptions{Bucket: b})
		for i := range 100 {
			putReport(t, r, "shop", i, 3)
			synctest.Wait()
		}
		if !there(t, r, 99) || there(t, r, 0) {
			t.Error("the last report did not take the place of the first")
		}
		if _, n := r.Bytes(); n < 17 || n > 20 {
			t.Errorf("%d reports in a bucket with room for 20", n)
		}
	})
}

// Many who find it full at once remove what one of them would.
func TestAFullBucketIsNotEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		b.room = 100
		r := running(t, store.ReportsOptions{Bucket: b})
		for i := range 100 {
			putReport(t, r, "shop", i, 3)
		}
		synctest.Wait()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { putReport(t, r, "shop", 1000+i, 3) })
		}
		wg.Wait()
		synctest.Wait()
		if _, n := r.Bytes(); n < 80 {
			t.Errorf("%d of 100 reports are left after eight more", n)
		}
	})
}

func TestRoomIsMadeWhenTheBucketIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := sizeOf(t, 3)
		b := newFaulty()
		r := running(t, store.ReportsOptions{Bucket: b, Bytes: 10 * one})
		for i := range 15 {
			putReport(t, r, "shop", i, 3)
		}
		b.away.Store(true)
		time.Sleep(10 * time.Minute)
		if n := b.deletes.Load(); n > 200 {
			t.Errorf("%d removals were tried in ten minutes", n)
		}
		b.away.Store(false)
		settled()
		if bytes, _ := r.Bytes(); bytes > 10*one {
			t.Errorf("%d bytes of %d", bytes, 10*one)
		}
	})
}

func TestReportsAreKeptForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = 48 * time.Hour
		b := newFaulty()
		a := running(t, store.ReportsOptions{Bucket: b, KeepFor: keep})
		running(t, store.ReportsOptions{Bucket: b, KeepFor: keep})
		putReport(t, a, "shop", 1, 1)
		time.Sleep(keep / 2)
		putReport(t, a, "shop", 2, 1)
		time.Sleep(keep/2 - store.AgeEvery)
		if !there(t, a, 1) {
			t.Fatal("a report is gone before its time")
		}
		time.Sleep(5 * store.AgeEvery)
		if there(t, a, 1) || !there(t, a, 2) {
			t.Error("the old report is there, or the other is not")
		}
		if n := len(keysOf(t, b.Memory)); n != 1 {
			t.Errorf("%d reports are in the bucket", n)
		}
	})
}

// A clock that jumps for less than an hour must not cost every report.
func TestAClockThatJumpsDropsNothing(t *testing.T) {
	r := running(t, store.ReportsOptions{Bucket: newFaulty(), KeepFor: time.Hour})
	for i := range 5 {
		putReport(t, r, "shop", i, 1)
	}
	now := time.Now()
	for _, at := range []time.Duration{0, 48 * time.Hour, 0, 48 * time.Hour, 0} {
		if old := r.TooOld(now.Add(at)); len(old) != 0 {
			t.Errorf("%v are dropped after a jump of %s", old, at)
		}
	}
	r.TooOld(now.Add(48 * time.Hour))
	if old := r.TooOld(now.Add(49 * time.Hour)); len(old) != 5 {
		t.Errorf("%d of 5 are dropped that stay old", len(old))
	}
}

// keysOf are the keys of a bucket.
func keysOf(t testing.TB, b *bucket.Memory) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	err := b.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
		if e.Kind == bucket.Wrote {
			keys = append(keys, e.Entry.Key)
		}
		if e.Kind == bucket.Synced {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return keys
}

// What replicas write of their reads does not pile up with every restart.
func TestTheReadsOfFormerReplicasAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reads := newFaulty(), bucket.NewMemory()
		putReport(t, newReports(t, store.ReportsOptions{Bucket: b}), "shop", 1, 1)
		for i := range 100 {
			if _, err := reads.Put(t.Context(), fmt.Sprint("former-", i), []byte{1}, nil); err != nil {
				t.Fatal(err)
			}
		}
		r := running(t, store.ReportsOptions{Bucket: b, Reads: reads})
		synctest.Wait()
		if !there(t, r, 1) {
			t.Fatal("the report is not there")
		}
		time.Sleep(2 * store.TellEvery)
		synctest.Wait()
		left := keysOf(t, reads)
		if n := len(left); n > 70 || slices.Contains(left, "former-0") || !slices.Contains(left, "former-99") ||
			!slices.ContainsFunc(left, func(s string) bool { return !strings.HasPrefix(s, "former-") }) {
			t.Errorf("%d entries are left: %v", n, left)
		}
	})
}

// An index of all reports is in every replica's memory.
func TestTheIndexIsSmall(t *testing.T) {
	const reports = 50_000
	b := bucket.NewMemory()
	value := make([]byte, 48_000)
	for i := range reports {
		if _, err := b.Put(t.Context(), storetest.Key(i), value, bucket.Meta{"owner": fmt.Sprint("namespace-", i%200)}); err != nil {
			t.Fatal(err)
		}
	}
	r := newReports(t, store.ReportsOptions{Bucket: copies{b}, Bytes: 1 << 40})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	run(t, r)
	for r.Ready(t.Context()) != nil {
		time.Sleep(time.Millisecond)
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / reports
	fmt.Printf("an index of %d reports of 200 namespaces: %d bytes each\n", reports, each)
	if each > 500 {
		t.Errorf("%d bytes for each report", each)
	}
	runtime.KeepAlive(r)
}

// copies gives every watcher strings of its own, as a bucket elsewhere does.
type copies struct{ bucket.Bucket }

func (c copies) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	return c.Bucket.Watch(ctx, o, func(e bucket.Event) {
		e.Entry.Key = strings.Clone(e.Entry.Key)
		e.Entry.Meta = bucket.Meta{"owner": strings.Clone(e.Entry.Meta["owner"])}
		see(e)
	})
}
