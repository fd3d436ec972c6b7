package denials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/report"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var web = owner.Reference{Kind: owner.ReplicaSet, Name: "web-5c", UID: "u-1"}

func attempt(namespace, image string, status report.Status) Attempt {
	return Attempt{Namespace: namespace, Owner: web, User: "system:serviceaccount:kube-system:replicaset-controller", Image: image, Digest: digest, Status: status, Message: "because"}
}

// replica is one of those that share a bucket.
type replica struct {
	*Record
	metrics *prometheus.Registry
	stop    func()
}

func start(t *testing.T, b bucket.Bucket, bytes int) *replica {
	t.Helper()
	r := &replica{metrics: prometheus.NewRegistry()}
	var err error
	r.Record, err = New(Options{Bucket: b, Bytes: bytes, KeepFor: 24 * time.Hour, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: r.metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(r.stop)
	synctest.Wait()
	return r
}

func said(l List) string {
	var b strings.Builder
	for _, e := range l.Entries {
		who := e.Owner.Name + e.Pod
		fmt.Fprintf(&b, "%s/%s %s %s x%d", e.Namespace, who, e.Image, e.Status, e.Count)
		if !e.Open() {
			b.WriteString(" resolved")
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestAttemptsOfOneOwnerAreOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, bucket.NewMemory(), 1<<20)
		first := time.Now()
		r.Saw(attempt("shop", "app:1", report.NotAvailable))
		time.Sleep(time.Minute)
		a := attempt("shop", "app:1", report.Rejected)
		a.Owner.UID = "u-2"
		r.Saw(a)
		bare := attempt("shop", "app:1", report.ScanFailed)
		bare.Owner, bare.Pod, bare.User = owner.Reference{}, "debug", "anna"
		time.Sleep(time.Second)
		r.Saw(bare)
		if got := said(r.List(Filter{})); got != "shop/debug app:1 scan_failed x1\nshop/web-5c app:1 rejected x2" {
			t.Error(got)
		}
		e := r.List(Filter{Statuses: []report.Status{report.Rejected}}).Entries[0]
		if !e.First.Equal(first) || e.Last.Sub(e.First) != time.Minute || e.Reason != "because" || e.Digest != digest || e.Owner.UID != "u-2" {
			t.Errorf("%+v", e)
		}
		// Accepted for one owner says nothing of another's, who may have other credentials.
		r.Saw(attempt("shop", "app:1", report.Accepted))
		if got := said(r.List(Filter{})); got != "shop/debug app:1 scan_failed x1" {
			t.Error(got)
		}
		if got := said(r.List(Filter{Resolved: true})); got != "shop/debug app:1 scan_failed x1\nshop/web-5c app:1 rejected x2 resolved" {
			t.Error(got)
		}
		time.Sleep(time.Minute)
		r.Saw(attempt("shop", "app:1", report.Rejected))
		if got := said(r.List(Filter{Since: time.Now()})); got != "shop/web-5c app:1 rejected x1" {
			t.Errorf("rejected anew: %s", got)
		}
		r.Saw(attempt("shop", "fine:1", report.Accepted))
		if n := len(r.List(Filter{Resolved: true}).Entries); n != 2 {
			t.Errorf("%d entries after what was never denied is accepted", n)
		}
	})
}

func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, bucket.NewMemory(), 1<<20)
		for _, ns := range []string{"a", "b", "c"} {
			r.Saw(attempt(ns, "app:1", report.Rejected))
			r.Saw(attempt(ns, "app:2", report.NotAvailable))
		}
		for want, f := range map[int]Filter{
			6: {}, 4: {Namespaces: []string{"a", "c", "a", "none"}}, 0: {Namespaces: []string{}}, 3: {Image: "app:1"},
			1: {Namespaces: []string{"b"}, Statuses: []report.Status{report.NotAvailable}},
		} {
			if got := len(r.List(f).Entries); got != want {
				t.Errorf("%+v: %d entries, want %d", f, got, want)
			}
		}
		if len(r.List(Filter{Digest: digest}).Entries) != 6 || len(r.List(Filter{Digest: "sha256:other"}).Entries) != 0 {
			t.Error("by digest")
		}
	})
}

// TestWhatGatekeeperWasToldEndsWhatIsPending: whose Pod was let in does not ask
// again through the mutator.
func TestWhatGatekeeperWasToldEndsWhatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, bucket.NewMemory(), 1<<20)
		for _, image := range []string{"pending:1", "moved:1", "bad:1"} {
			r.Saw(attempt("shop", image, report.NotAvailable))
			r.Saw(attempt("other", image, report.NotAvailable))
		}
		r.Saw(attempt("shop", "rejected:1", report.Rejected))
		r.Answered("shop", "pending:1", digest, report.NotAvailable, "x")
		r.Answered("shop", "pending:1", digest, report.Accepted, "")
		r.Answered("shop", "moved:1", "sha256:other", report.Accepted, "")
		r.Answered("shop", "rejected:1", digest, report.Accepted, "")
		r.Answered("shop", "bad:1", digest, report.Rejected, "a CVE")
		r.Answered("shop", "unknown:1", digest, report.Rejected, "a CVE")
		if got := said(r.List(Filter{Namespaces: []string{"shop"}})); got != "shop/web-5c bad:1 rejected x1\nshop/web-5c moved:1 report_not_available x1\nshop/web-5c rejected:1 rejected x1" {
			t.Error(got)
		}
		if n := len(r.List(Filter{Namespaces: []string{"other"}, Statuses: []report.Status{report.NotAvailable}}).Entries); n != 3 {
			t.Errorf("%d of another namespace are pending", n)
		}
	})
}

func TestReplicasShareAndOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		one, two := start(t, b, 1<<20), start(t, b, 1<<20)
		for range 3 {
			one.Saw(attempt("shop", "app:1", report.Rejected))
			two.Saw(attempt("shop", "app:1", report.Rejected))
			one.Saw(attempt("shop", "app:2", report.NotAvailable))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want := "shop/web-5c app:1 rejected x6\nshop/web-5c app:2 report_not_available x3"
		for name, r := range map[string]*replica{"one": one, "two": two} {
			if got := r.List(Filter{}); said(got) != want || !got.Known {
				t.Errorf("%s: %s", name, said(got))
			}
		}
		two.Saw(attempt("shop", "app:2", report.Accepted))
		synctest.Wait()
		if got := said(one.List(Filter{})); got != "shop/web-5c app:1 rejected x6" {
			t.Errorf("resolved elsewhere: %s", got)
		}
		one.Saw(attempt("shop", "app:1", report.Rejected)) // its number alone has changed: written at the end
		one.stop()
		two.stop()
		three := start(t, b, 1<<20)
		if got := said(three.List(Filter{Resolved: true})); got != "shop/web-5c app:1 rejected x7\nshop/web-5c app:2 report_not_available x3 resolved" {
			t.Errorf("after a restart: %s", got)
		}
	})
}

// TestOneNamespacePushesOutItsOwn only, in memory and in the bucket.
func TestOneNamespacePushesOutItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		r, other := start(t, b, 64<<10), start(t, b, 64<<10)
		for n := range 10 {
			r.Saw(attempt("shop", fmt.Sprintf("app:%d", n), report.Rejected))
		}
		for n := range 5000 {
			a := attempt("evil", fmt.Sprintf("evil:%d", n), report.Rejected)
			a.Message = strings.Repeat("x", 10<<10)
			r.Saw(a)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for name, r := range map[string]*replica{"here": r, "elsewhere": other} {
			shop, all := r.List(Filter{Namespaces: []string{"shop"}}), r.List(Filter{})
			if len(shop.Entries) != 10 || len(shop.Forgotten) != 0 || len(all.Entries) > 80 || len(all.Entries) < 30 {
				t.Errorf("%s: %d of shop's, %d of all, forgotten %v", name, len(shop.Entries), len(all.Entries), all.Forgotten)
			}
		}
		if f := r.List(Filter{}).Forgotten; f["evil"] < 4900 {
			t.Errorf("forgotten %v", f)
		}
		if n := len(keys(t, b)); n > 80 {
			t.Errorf("%d are left in the bucket", n)
		}
	})
}

// keys are those of the bucket.
func keys(t *testing.T, b bucket.Bucket) (all []string) {
	ctx, cancel := context.WithCancel(t.Context())
	_ = b.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
		if e.Kind == bucket.Wrote {
			all = append(all, e.Entry.Key)
		}
		if e.Kind == bucket.Synced {
			cancel()
		}
	})
	return all
}

func TestWhatIsOldGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		r := start(t, b, 1<<20)
		r.Saw(attempt("shop", "old:1", report.Rejected))
		time.Sleep(20 * time.Hour)
		r.Saw(attempt("shop", "new:1", report.Rejected))
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if got := said(r.List(Filter{})); got != "shop/web-5c new:1 rejected x1" || len(keys(t, b)) != 1 {
			t.Errorf("%s, %d in the bucket", got, len(keys(t, b)))
		}
	})
}

// TestABucketThatIsAway: what is seen meanwhile is known here, said to be no more
// than that, and written later.
func TestABucketThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &faulty{Bucket: bucket.NewMemory(), err: errors.New("no connection")}
		r := start(t, b, 1<<20)
		r.Saw(attempt("shop", "app:1", report.Rejected))
		time.Sleep(time.Minute)
		if l := r.List(Filter{}); l.Known || len(l.Entries) != 1 {
			t.Errorf("%+v", l)
		}
		b.set(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if l := r.List(Filter{}); !l.Known || said(l) != "shop/web-5c app:1 rejected x1" || len(keys(t, b)) != 1 {
			t.Errorf("%+v", l)
		}
		b.set(bucket.ErrFull)
		r.Saw(attempt("shop", "app:2", report.Rejected))
		time.Sleep(time.Second)
		synctest.Wait()
		b.set(nil)
		r.stop()
		if n := len(keys(t, b)); n != 2 {
			t.Errorf("%d in the bucket", n)
		}
	})
}

// TestWhatIsForgottenIsRemovedInTheEnd although the bucket is away when it is to be.
func TestWhatIsForgottenIsRemovedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &faulty{Bucket: bucket.NewMemory()}
		r := start(t, b, 1<<20)
		for n := range 5 {
			r.Saw(attempt("shop", fmt.Sprintf("app:%d", n), report.Rejected))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(keys(t, b.Bucket)); n != 5 {
			t.Fatalf("%d in the bucket", n)
		}
		b.set(errors.New("no connection"))
		time.Sleep(25 * time.Hour)
		b.set(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if l := r.List(Filter{}); len(l.Entries) != 0 || len(keys(t, b.Bucket)) != 0 {
			t.Errorf("%s, %d in the bucket", said(l), len(keys(t, b.Bucket)))
		}
	})
}

// faulty is a bucket that answers with err while that is set.
type faulty struct {
	bucket.Bucket
	mu  sync.Mutex
	err error
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faulty) now() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *faulty) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := f.now(); err != nil {
		return 0, err
	}
	return f.Bucket.Create(ctx, key, value)
}

func (f *faulty) Delete(ctx context.Context, key string, revision uint64) error {
	if err := f.now(); err != nil {
		return err
	}
	return f.Bucket.Delete(ctx, key, revision)
}

func (f *faulty) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	if err := f.now(); err != nil {
		return err
	}
	return f.Bucket.Watch(ctx, o, see)
}

func TestWhatCannotBeReadIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		a, late := attempt("shop", "app:1", report.Rejected), attempt("shop", "app:2", report.Rejected)
		ahead := late.entry(time.Now().Add(24 * time.Hour)) // it would be kept as long as that
		for key, value := range map[string]string{"a": "{", late.id(): string(ahead.encode()), a.id(): `{"status":"of a newer provider"}`, "b": strings.Repeat(" ", maxValue+1)} {
			if _, err := b.Put(t.Context(), key, []byte(value), nil); err != nil {
				t.Fatal(err)
			}
		}
		r := start(t, b, 1<<20)
		r.Saw(a)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if l := r.List(Filter{}); !l.Known || l.Unreadable != 4 || said(l) != "shop/web-5c app:1 rejected x1" || len(keys(t, b)) != 4 {
			t.Errorf("%+v", l)
		}
		// One that is written again is one, and one that is gone is none.
		if _, err := b.Put(t.Context(), "a", []byte("}"), nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context(), "b", 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if l := r.List(Filter{}); l.Unreadable != 3 {
			t.Errorf("%d cannot be read", l.Unreadable)
		}
		// Until it is told anew what there is, what is not there says nothing.
		r.see(bucket.Event{Kind: bucket.Reset})
		if l := r.List(Filter{}); l.Known || l.Unreadable != 0 {
			t.Errorf("while it is read anew: %+v", l)
		}
		r.see(bucket.Event{Kind: bucket.Synced})
		if l := r.List(Filter{}); !l.Known {
			t.Errorf("afterwards: %+v", l)
		}
	})
}

func TestAuthorsTextsAreCleanedAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		r := start(t, b, 1<<20)
		long := "<script>\x1b[2J\n" + strings.Repeat("é", 100<<10)
		r.Saw(Attempt{Namespace: long, Pod: long, User: long, Image: long, Digest: long, Message: long, Status: report.Rejected})
		synctest.Wait()
		for name, r := range map[string]*replica{"here": r, "elsewhere": start(t, b, 1<<20)} {
			l := r.List(Filter{})
			if len(l.Entries) != 1 {
				t.Fatalf("%s: %d entries", name, len(l.Entries))
			}
			e := l.Entries[0]
			for _, s := range []string{e.Namespace, e.Pod, e.User, e.Image, e.Digest, e.Reason} {
				if len(s) > 512 || strings.ContainsAny(s, "\x1b\n") {
					t.Errorf("%s: kept %d bytes, %.40q", name, len(s), s)
				}
			}
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, bucket.NewMemory(), 1<<20)
		r.Saw(attempt("shop", "app:1", report.Rejected))
		r.Saw(attempt("shop", "app:2", report.NotAvailable))
		r.Saw(attempt("shop", "app:2", report.Accepted))
		if err := testutil.GatherAndCompare(r.metrics, strings.NewReader(`
# HELP imagegate_denials Images that owners of Pods were not let in with and that are remembered, by the last answer: rejected, scan_failed, report_not_available, or resolved.
# TYPE imagegate_denials gauge
imagegate_denials{state="rejected"} 1
imagegate_denials{state="report_not_available"} 0
imagegate_denials{state="resolved"} 1
imagegate_denials{state="scan_failed"} 0
`), "imagegate_denials"); err != nil {
			t.Error(err)
		}
	})
}

func TestNew(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, o := range []Options{
		{}, {Bucket: bucket.NewMemory()}, {Bucket: bucket.NewMemory(), Bytes: 1, KeepFor: 1}, {Bucket: bucket.NewMemory(), Bytes: -1, KeepFor: 1, Logger: log, Registerer: prometheus.NewRegistry()},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func FuzzDecode(f *testing.F) {
	a := attempt("shop", "app:1", report.Rejected).cleaned()
	e := a.entry(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	f.Add(a.id(), e.encode())
	f.Add("", []byte(`{"owner":"x"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		e, err := decode(key, value, time.Now())
		if err != nil {
			return
		}
		again, err := decode(key, e.encode(), time.Now())
		if err != nil || !again.First.Equal(e.First) || again.Image != e.Image || e.Count < 1 || len(e.Image) > maxImage {
			t.Errorf("%+v, then %+v, %v", e, again, err)
		}
	})
}
