package store_test

import (
	"context"
	"sync"
	"testing"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/store/storetest"
)

func TestConformanceOfMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		m := newMemory(t, store.MemoryOptions{Reports: 1000, Bytes: 64 << 20})
		return func() storetest.Store { return m }
	})
}

func TestConformanceOfTags(t *testing.T) {
	storetest.RunTags(t, func(t *testing.T) func() storetest.Tags {
		tags := newTags(t)
		return func() storetest.Tags { return tags }
	})
}

func TestConformanceOnBuckets(t *testing.T) {
	storetest.RunOn(t, func(*testing.T) func() func(string) bucket.Bucket {
		buckets := map[string]bucket.Bucket{"reports": bucket.NewMemory(), "reads": bucket.NewMemory(), "tags": bucket.NewMemory()}
		return func() func(string) bucket.Bucket { return func(name string) bucket.Bucket { return buckets[name] } }
	})
}

// A watch that is late, or never there, is no reason to answer wrongly.
func TestConformanceOfReportsBesideALateWatch(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		b := bucket.NewMemory()
		return func() storetest.Store { return running(t, store.ReportsOptions{Bucket: &lateWatch{Memory: b}}) }
	})
}

// lateWatch tells each event some others later.
type lateWatch struct{ *bucket.Memory }

func (l *lateWatch) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	return l.Memory.Watch(ctx, o, func(e bucket.Event) {
		for range 100 {
			if _, err := l.Get(ctx, "nothing"); err != nil {
				return
			}
		}
		see(e)
	})
}

// newReports returns a store with what is missing in o filled in.
func newReports(t testing.TB, o store.ReportsOptions) *store.Reports {
	t.Helper()
	if o.Bytes == 0 {
		o.Bytes = 1 << 30
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	r, err := store.NewReports(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs a replica until the test ends or stop is called.
func run(t testing.TB, r interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func running(t testing.TB, o store.ReportsOptions) *store.Reports {
	t.Helper()
	r := newReports(t, o)
	run(t, r)
	return r
}
