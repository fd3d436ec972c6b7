package store_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/store/storetest"
)

// faulty is a bucket that counts what is read, and can be away or full.
type faulty struct {
	*bucket.Memory
	gets, deletes atomic.Int64
	// away makes everything fail, hanging makes reads wait for their end.
	away, hanging atomic.Bool
	// room is how many entries there may be; zero: any.
	room    int
	entries atomic.Int64
	// answers is how long a write takes to be answered, once it is there.
	answers time.Duration
}

func newFaulty() *faulty { return &faulty{Memory: bucket.NewMemory()} }

var errAway = errors.New("no servers available for connection")

func (f *faulty) Get(ctx context.Context, key string) (*bucket.Entry, error) {
	f.gets.Add(1)
	if f.hanging.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.away.Load() {
		return nil, errAway
	}
	return f.Memory.Get(ctx, key)
}

func (f *faulty) Put(ctx context.Context, key string, value []byte, meta bucket.Meta) (uint64, error) {
	if f.away.Load() {
		return 0, errAway
	}
	if f.room > 0 && f.entries.Load() >= int64(f.room) {
		return 0, bucket.ErrFull
	}
	f.entries.Add(1)
	revision, err := f.Memory.Put(ctx, key, value, meta)
	time.Sleep(f.answers) // the watch is quicker
	return revision, err
}

func (f *faulty) Delete(ctx context.Context, key string, revision uint64) error {
	f.deletes.Add(1)
	if f.away.Load() {
		return errAway
	}
	err := f.Memory.Delete(ctx, key, revision)
	if err == nil {
		f.entries.Add(-1)
	}
	return err
}

func putReport(t testing.TB, r *store.Reports, namespace string, n, findings int) uint64 {
	t.Helper()
	revision, err := r.Put(t.Context(), namespace, storetest.Key(n), storetest.Scan(n, findings))
	if err != nil {
		t.Fatalf("Put of %d: %v", n, err)
	}
	return revision
}

// there reports whether the store has the image's report.
func there(t testing.TB, r *store.Reports, n int) bool {
	t.Helper()
	scan, err := r.Get(t.Context(), storetest.Key(n))
	if err != nil {
		t.Fatalf("Get of %d: %v", n, err)
	}
	return scan != nil
}

func TestWhatIsKnownIsAnsweredWithoutTheBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		a, other := running(t, store.ReportsOptions{Bucket: b}), running(t, store.ReportsOptions{Bucket: b})
		synctest.Wait()
		putReport(t, a, "shop", 1, 3)
		synctest.Wait()
		if n := b.gets.Load(); n != 1 {
			t.Errorf("the bucket was read %d times, want once: ahead, by the other replica", n)
		}
		b.hanging.Store(true)
		b.away.Store(true)
		for range 100 {
			if !there(t, a, 1) || !there(t, other, 1) {
				t.Fatal("the report is not there")
			}
			if there(t, a, 2) || there(t, other, 2) {
				t.Fatal("a report is there that nobody made")
			}
		}
		if n := b.gets.Load(); n != 1 {
			t.Errorf("the bucket was read %d times for what is known", n)
		}
	})
}

// TestWhoWritesDoesNotReadItAgain, although the watch tells of it first.
func TestWhoWritesDoesNotReadItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		b.answers = time.Second
		a := running(t, store.ReportsOptions{Bucket: b})
		synctest.Wait()
		putReport(t, a, "shop", 1, 3)
		if !there(t, a, 1) {
			t.Error("the report is not there")
		}
		if n := b.gets.Load(); n != 0 {
			t.Errorf("the bucket was read %d times", n)
		}
	})
}

// TestAWorkerReadsNothingAhead: each would else unpack what any other makes.
func TestAWorkerReadsNothingAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		a, worker := running(t, store.ReportsOptions{Bucket: b}), running(t, store.ReportsOptions{Bucket: b, Unasked: true})
		synctest.Wait()
		revision := putReport(t, a, "shop", 1, 3)
		synctest.Wait()
		if n := b.gets.Load(); n != 0 || worker.InMemory() != 0 {
			t.Errorf("the bucket was read %d times, and %d reports are in memory, before anybody asked", n, worker.InMemory())
		}
		if scan, err := worker.GetAt(t.Context(), storetest.Key(1), revision); err != nil || scan == nil {
			t.Errorf("GetAt: %v, %v", scan, err)
		}
	})
}

func TestAWaitOfAnyReplicaEndsWithTheScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		a, other := running(t, store.ReportsOptions{Bucket: b}), running(t, store.ReportsOptions{Bucket: b})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				scan, err := other.GetAt(t.Context(), storetest.Key(1), 1)
				if err != nil || scan == nil {
					t.Errorf("GetAt: %v, %v", scan, err)
				}
			})
		}
		synctest.Wait() // all of them wait
		putReport(t, a, "shop", 1, 3)
		wg.Wait()
		if n := b.gets.Load(); n > 2 {
			t.Errorf("fifty who waited read the bucket %d times", n)
		}
	})
}

func TestConcurrentReadsAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		putReport(t, newReports(t, store.ReportsOptions{Bucket: b}), "shop", 1, 3)
		r := running(t, store.ReportsOptions{Bucket: b})
		synctest.Wait()
		b.hanging.Store(true)
		var wg sync.WaitGroup
		var failed atomic.Int64
		for range 100 {
			wg.Go(func() {
				if _, err := r.Get(t.Context(), storetest.Key(1)); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if gets, n := b.gets.Load(), failed.Load(); gets != 1 || n != 100 {
			t.Errorf("%d of 100 failed, by %d reads, want all by one", n, gets)
		}
		b.hanging.Store(false)
		if !there(t, r, 1) {
			t.Error("the report is not there once the bucket answers")
		}
	})
}

// While the bucket is away what is in memory goes on being answered. The rest
// fails, in time, and says why.
func TestABucketThatIsAway(t *testing.T) {
	for _, how := range []string{"it refuses", "it hangs"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFaulty()
				putReport(t, newReports(t, store.ReportsOptions{Bucket: b}), "shop", 1, 3)
				putReport(t, newReports(t, store.ReportsOptions{Bucket: b}), "shop", 2, 3)
				r := running(t, store.ReportsOptions{Bucket: b})
				fresh := newReports(t, store.ReportsOptions{Bucket: b}) // has heard of nothing
				synctest.Wait()
				if !there(t, r, 1) {
					t.Fatal("the report is not there")
				}
				b.away.Store(true)
				b.hanging.Store(how == "it hangs")
				if !there(t, r, 1) {
					t.Error("what is in memory is not answered")
				}
				began := time.Now()
				for name, r := range map[string]*store.Reports{"known, not in memory": r, "not known": fresh} {
					scan, err := r.Get(t.Context(), storetest.Key(2))
					if scan != nil || err == nil || report.FailureOf(err).Message != "the report store cannot be reached" || report.FailureOf(err).Err == nil {
						t.Errorf("%s: %v, %v", name, scan, err)
					}
				}
				if took := time.Since(began); took > 2*store.DefaultTimeout {
					t.Errorf("it took %s to fail", took)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				began = time.Now()
				if _, err := r.Get(ctx, storetest.Key(2)); err == nil {
					t.Error("no error within a short time")
				}
				if took := time.Since(began); took > time.Millisecond {
					t.Errorf("an asker with a millisecond waited %s", took)
				}
				if _, err := r.Put(t.Context(), "shop", storetest.Key(3), storetest.Scan(3, 1)); !errors.Is(err, errAway) {
					t.Errorf("Put: %v", err)
				}
				time.Sleep(store.DefaultTimeout) // what nobody waits for any more ends by then
			})
		})
	}
}

func TestABrokenReportIsScannedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		var log bytes.Buffer
		metrics := prometheus.NewRegistry()
		putReport(t, newReports(t, store.ReportsOptions{Bucket: b}), "shop", 1, 0)
		e, err := b.Memory.Get(t.Context(), storetest.Key(1))
		if err != nil {
			t.Fatal(err)
		}
		broken := bytes.Clone(e.Value)
		broken[len(broken)-3] ^= 4
		if _, err := b.Put(t.Context(), storetest.Key(1), broken, nil); err != nil {
			t.Fatal(err)
		}
		r := running(t, store.ReportsOptions{Bucket: b, Registerer: metrics, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		synctest.Wait()
		for range 10 {
			if there(t, r, 1) {
				t.Fatal("a broken report counts")
			}
		}
		if n := b.gets.Load(); n != 1 {
			t.Errorf("the broken report was read %d times", n)
		}
		if n := strings.Count(log.String(), "broken and counts for nothing"); n != 1 {
			t.Errorf("the log tells of it %d times:\n%s", n, log.String())
		}
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP imagegate_store_unreadable_total Stored reports that were passed over: newer (written by a newer provider for newer ones) or broken.
# TYPE imagegate_store_unreadable_total counter
imagegate_store_unreadable_total{reason="broken"} 1
imagegate_store_unreadable_total{reason="newer"} 0
`), "imagegate_store_unreadable_total"); err != nil {
			t.Error(err)
		}
		putReport(t, r, "shop", 1, 2)
		if !there(t, r, 1) {
			t.Error("the new scan does not count")
		}
	})
}

// What is gone is gone on every replica, and what is written in its place is new.
func TestARemovedReportIsGoneEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		a, other := running(t, store.ReportsOptions{Bucket: b}), running(t, store.ReportsOptions{Bucket: b})
		first := putReport(t, a, "shop", 1, 1)
		synctest.Wait()
		if err := b.Delete(t.Context(), storetest.Key(1), first); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if there(t, a, 1) || there(t, other, 1) {
			t.Error("a removed report is answered")
		}
		// Whoever waits for it is told that it is gone, and not left waiting.
		if scan, err := other.GetAt(t.Context(), storetest.Key(1), first); scan != nil || err != nil {
			t.Errorf("GetAt of a removed report: %v, %v", scan, err)
		}
		putReport(t, a, "shop", 1, 2)
		synctest.Wait()
		if !there(t, a, 1) || !there(t, other, 1) {
			t.Error("the next report is not there")
		}
	})
}

// again is a bucket whose watch begins anew when told to, after what was hidden
// from it, and may count its revisions anew.
type again struct {
	*bucket.Memory
	mu    sync.Mutex
	next  *bucket.Memory
	turns chan struct{}
}

func (a *again) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	for {
		a.mu.Lock()
		now := a.Memory
		a.mu.Unlock()
		one, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			select {
			case <-a.turns:
			case <-one.Done():
			}
		}()
		if err := now.Watch(one, o, see); ctx.Err() != nil {
			return err
		}
		a.mu.Lock()
		a.Memory = a.next
		a.mu.Unlock()
	}
}

func (a *again) Get(ctx context.Context, key string) (*bucket.Entry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.Memory.Get(ctx, key)
}

func TestAWatchThatBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &again{Memory: bucket.NewMemory(), next: bucket.NewMemory(), turns: make(chan struct{})}
		before, after := newReports(t, store.ReportsOptions{Bucket: b.Memory}), newReports(t, store.ReportsOptions{Bucket: b.next})
		for i := range 5 {
			putReport(t, before, "shop", i, 1)
		}
		// The bucket was lost, and made again: revisions begin at one.
		putReport(t, after, "shop", 4, 9)
		r := running(t, store.ReportsOptions{Bucket: b})
		synctest.Wait()
		for i := range 5 {
			if !there(t, r, i) {
				t.Fatalf("report %d is not there", i)
			}
		}
		b.turns <- struct{}{}
		synctest.Wait()
		for i := range 4 {
			if there(t, r, i) {
				t.Errorf("report %d is still answered", i)
			}
		}
		scan, err := r.GetAt(t.Context(), storetest.Key(4), 1)
		if err != nil || scan == nil || len(scan.Vulnerabilities) != 9 {
			t.Errorf("%v, %v, want the one of the new bucket", scan, err)
		}
		if _, n := r.Bytes(); n != 1 {
			t.Errorf("%d reports are known, want 1", n)
		}
	})
}

func TestReadyOnceAllIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReports(t, store.ReportsOptions{Bucket: bucket.NewMemory()})
		if err := r.Ready(t.Context()); err == nil {
			t.Error("ready before it has heard of anything")
		}
		run(t, r)
		synctest.Wait()
		if err := r.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestReportsNeedTheirOptions(t *testing.T) {
	for _, o := range []store.ReportsOptions{
		{Bytes: 1, CacheBytes: 1},
		{Bucket: bucket.NewMemory(), CacheBytes: 1},
		{Bucket: bucket.NewMemory(), Bytes: 1},
		{Bucket: bucket.NewMemory(), Bytes: 1, CacheBytes: 1, KeepFor: -1},
		{Bucket: bucket.NewMemory(), Bytes: 1, CacheBytes: 1, Timeout: -1},
	} {
		if _, err := store.NewReports(o); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}

// A panic in the middle of a read is an error of that read.
func TestAPanicInAReadIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReports(t, store.ReportsOptions{Bucket: panics{bucket.NewMemory()}})
		_, err := r.Get(t.Context(), storetest.Key(1))
		if f := report.FailureOf(err); err == nil || f.Reason != report.ReasonInternal {
			t.Errorf("error %v", err)
		}
	})
}

type panics struct{ bucket.Bucket }

func (panics) Get(context.Context, string) (*bucket.Entry, error) { panic("for the test") }

// After a restart everything is asked for at once. It is read in turn, however
// long that takes for all, by those who have the time.
func TestManyColdReadsAreMadeInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const reports = 500
		b := &slow{faulty: newFaulty()}
		before := newReports(t, store.ReportsOptions{Bucket: b})
		for i := range reports {
			putReport(t, before, "shop", i, 0)
		}
		r := running(t, store.ReportsOptions{Bucket: b})
		synctest.Wait()
		var wg sync.WaitGroup
		for i := range reports {
			wg.Go(func() {
				if !there(t, r, i) {
					t.Errorf("report %d is not there", i)
				}
			})
		}
		wg.Wait()
		if n := b.most.Load(); n > 16 {
			t.Errorf("%d reads at once", n)
		}
	})
}

// slow is a bucket that takes its time for each read.
type slow struct {
	*faulty
	now, most atomic.Int64
}

func (s *slow) Get(ctx context.Context, key string) (*bucket.Entry, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	time.Sleep(200 * time.Millisecond)
	return s.faulty.Get(ctx, key)
}

// deaf is a bucket whose watch says nothing.
type deaf struct{ *bucket.Memory }

func (deaf) Watch(ctx context.Context, _ bucket.WatchOptions, _ func(bucket.Event)) error {
	<-ctx.Done()
	return ctx.Err()
}

// dumb is a bucket whose watch says what there is, and nothing of what comes.
type dumb struct{ *bucket.Memory }

func (d dumb) Watch(ctx context.Context, o bucket.WatchOptions, tell func(bucket.Event)) error {
	synced := false
	return d.Memory.Watch(ctx, o, func(e bucket.Event) {
		if !synced {
			tell(e)
		}
		synced = synced || e.Kind == bucket.Synced
	})
}

// behind is a bucket whose watch does not tell of a key: it was replaced at once, and
// what took its place is not told yet.
type behind struct {
	*faulty
	key string
}

func (b behind) Watch(ctx context.Context, o bucket.WatchOptions, tell func(bucket.Event)) error {
	return b.faulty.Watch(ctx, o, func(e bucket.Event) {
		if e.Entry.Key != b.key {
			tell(e)
		}
	})
}

// TestWhatWasReplacedAtOnceIsThere, although the watch tells of later changes and not of
// it.
func TestWhatWasReplacedAtOnceIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		b.answers = time.Second
		a, other := running(t, store.ReportsOptions{Bucket: behind{b, storetest.Key(1)}}), running(t, store.ReportsOptions{Bucket: behind{b, storetest.Key(1)}})
		synctest.Wait()
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(time.Second / 2)
			putReport(t, other, "team", 2, 3)
		})
		revision := putReport(t, a, "team", 1, 3)
		if !there(t, a, 1) {
			t.Error("who has written it does not have it")
		}
		wg.Wait()
		if scan, err := other.GetAt(t.Context(), storetest.Key(1), revision); err != nil || scan == nil {
			t.Errorf("who has heard of its revision: %v, %v", scan, err)
		}
	})
}

// TestWhatWasDeletedBeforeItsWriteReturnedIsGone.
func TestWhatWasDeletedBeforeItsWriteReturnedIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		b.answers = time.Second
		a := running(t, store.ReportsOptions{Bucket: b})
		synctest.Wait()
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(time.Second / 2)
			if err := b.Memory.Delete(t.Context(), storetest.Key(1), 1); err != nil {
				t.Error(err)
			}
		})
		if revision := putReport(t, a, "team", 1, 3); revision != 1 {
			t.Fatalf("revision %d", revision)
		}
		wg.Wait()
		if there(t, a, 1) {
			t.Error("it is there")
		}
		if bytes, n := a.Bytes(); bytes != 0 || n != 0 {
			t.Errorf("%d reports of %d bytes", n, bytes)
		}
	})
}

// TestWhoIsAboutToScanDoesNotTrustWhatItHasNotHeardOf: it was cut off, and another has
// made the scan.
func TestWhoIsAboutToScanDoesNotTrustWhatItHasNotHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bucket.NewMemory()
		writer, other := running(t, store.ReportsOptions{Bucket: m}), running(t, store.ReportsOptions{Bucket: dumb{m}})
		synctest.Wait()
		putReport(t, writer, "team", 1, 3)
		synctest.Wait()
		if scan, err := other.Get(t.Context(), storetest.Key(1)); scan != nil || err != nil {
			t.Fatalf("it has heard of it: %v, %v", scan, err)
		}
		if scan, err := other.Look(t.Context(), storetest.Key(1), 0); err != nil || scan == nil || len(scan.Vulnerabilities) != 3 {
			t.Errorf("who looks: %v, %v", scan, err)
		}
		if scan, err := other.Look(t.Context(), storetest.Key(2), 0); scan != nil || err != nil {
			t.Errorf("who looks for what is not there: %v, %v", scan, err)
		}
	})
}

// TestWhatOthersHaveFinishedIsReadAlthoughTheWatchIsSilent, soon.
func TestWhatOthersHaveFinishedIsReadAlthoughTheWatchIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bucket.NewMemory()
		revision := putReport(t, running(t, store.ReportsOptions{Bucket: m}), "team", 1, 3)
		other := running(t, store.ReportsOptions{Bucket: deaf{m}})
		began := time.Now()
		scan, err := other.GetAt(t.Context(), storetest.Key(1), revision)
		if err != nil || scan == nil || len(scan.Vulnerabilities) != 3 || time.Since(began) > time.Second {
			t.Errorf("after %s: %v, %v", time.Since(began), scan, err)
		}
		// What is not there is waited for, no longer than asked.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if scan, err := other.GetAt(ctx, storetest.Key(2), revision+1); scan != nil || err == nil {
			t.Errorf("what is not there: %v, %v", scan, err)
		}
	})
}
