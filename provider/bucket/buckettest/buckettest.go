// Package buckettest is what every bucket.Bucket has to do, as tests.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagegate/imagegate/provider/bucket"
)

// patience is for what must happen; nothing is measured by it.
const patience = 30 * time.Second

// Run tests the buckets that open returns: a new, empty one each time. open may
// return several, which are then the same bucket as several processes see it.
func Run(t *testing.T, open func(t *testing.T) []bucket.Bucket) {
	for name, test := range map[string]func(*testing.T, []bucket.Bucket){
		"basics":                   basics,
		"conditions":               conditions,
		"deleted and created":      deletedAndCreated,
		"keys":                     keys,
		"values of any size":       sizes,
		"one creates":              oneCreates,
		"one updates":              oneUpdates,
		"one deletes":              oneDeletes,
		"a counter loses nothing":  counter,
		"a watch":                  watched,
		"a watch amid writes":      watchAmidWrites,
		"watches agree":            watchesAgree,
		"a watch of large values":  watchOfLargeValues,
		"many keys":                manyKeys,
		"own writes are read":      ownWrites,
		"the context ends":         contextEnds,
		"values belong to nobody":  valuesBelongToNobody,
		"revisions have one order": revisions,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func context30(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// any picks one of the processes.
func anyOf(bs []bucket.Bucket, n int) bucket.Bucket { return bs[n%len(bs)] }

func mustPut(t *testing.T, b bucket.Bucket, key, value string, meta bucket.Meta) uint64 {
	t.Helper()
	r, err := b.Put(context30(t), key, []byte(value), meta)
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return r
}

func wantValue(t *testing.T, b bucket.Bucket, key, value string, revision uint64) {
	t.Helper()
	e, err := b.Get(context30(t), key)
	switch {
	case err != nil:
		t.Fatalf("Get %s: %v", key, err)
	case e == nil:
		t.Fatalf("Get %s: not there, want %q", key, value)
	case string(e.Value) != value || e.Revision != revision || e.Key != key || e.Size != len(value):
		t.Fatalf("Get %s: %q at %d of size %d, want %q at %d", e.Key, e.Value, e.Revision, e.Size, value, revision)
	}
}

func wantNone(t *testing.T, b bucket.Bucket, key string) {
	t.Helper()
	if e, err := b.Get(context30(t), key); e != nil || err != nil {
		t.Fatalf("Get %s: %v, %v, want nothing", key, e, err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
}

func basics(t *testing.T, bs []bucket.Bucket) {
	b, ctx := bs[0], context30(t)
	wantNone(t, b, "a")
	before := time.Now().Add(-time.Minute)
	meta := bucket.Meta{"Kind": "report", "a-b": "x y=z&ü%", "empty": ""}
	r := mustPut(t, b, "a", "1", meta)
	wantValue(t, b, "a", "1", r)
	e, err := b.Get(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(meta, e.Meta); diff != "" {
		t.Errorf("meta (-want +got):\n%s", diff)
	}
	if e.Written.Before(before) || e.Written.After(time.Now().Add(time.Minute)) {
		t.Errorf("written at %s", e.Written)
	}
	r2 := mustPut(t, b, "a", "2", nil)
	wantValue(t, b, "a", "2", r2)
	if e, _ := b.Get(ctx, "a"); len(e.Meta) != 0 {
		t.Errorf("meta of an earlier value: %v", e.Meta)
	}
	if err := b.Delete(ctx, "a", 0); err != nil {
		t.Fatal(err)
	}
	wantNone(t, b, "a")
	if err := b.Delete(ctx, "a", 0); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	if err := b.Delete(ctx, "never", 0); err != nil {
		t.Errorf("deleting what never was there: %v", err)
	}
}

func conditions(t *testing.T, bs []bucket.Bucket) {
	b, ctx := bs[0], context30(t)
	_, err := b.Update(ctx, "a", nil, 0)
	wantErr(t, "Update of nothing at 0", err, bucket.ErrChanged)
	_, err = b.Update(ctx, "a", nil, 1)
	wantErr(t, "Update of nothing at 1", err, bucket.ErrChanged)
	wantErr(t, "Delete of nothing at 1", b.Delete(ctx, "a", 1), bucket.ErrChanged)

	r, err := b.Create(ctx, "a", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Create(ctx, "a", []byte("2"))
	wantErr(t, "Create twice", err, bucket.ErrExists)
	wantValue(t, b, "a", "1", r)

	other, err := b.Create(ctx, "b", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Update(ctx, "a", nil, other)
	wantErr(t, "Update at another key's revision", err, bucket.ErrChanged)

	r2, err := b.Update(ctx, "a", []byte("2"), r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Update(ctx, "a", []byte("3"), r)
	wantErr(t, "Update at an old revision", err, bucket.ErrChanged)
	wantErr(t, "Delete at an old revision", b.Delete(ctx, "a", r), bucket.ErrChanged)
	wantValue(t, b, "a", "2", r2)
	if err := b.Delete(ctx, "a", r2); err != nil {
		t.Fatal(err)
	}
	_, err = b.Update(ctx, "a", []byte("3"), r2)
	wantErr(t, "Update of what is deleted", err, bucket.ErrChanged)
	wantErr(t, "Delete of what is deleted", b.Delete(ctx, "a", r2), bucket.ErrChanged)
	wantNone(t, b, "a")
}

func deletedAndCreated(t *testing.T, bs []bucket.Bucket) {
	ctx := context30(t)
	var last uint64
	for n := range 5 {
		b := anyOf(bs, n)
		r, err := b.Create(ctx, "k", []byte(fmt.Sprint(n)))
		if err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		if r <= last {
			t.Fatalf("revision %d after %d", r, last)
		}
		wantValue(t, b, "k", fmt.Sprint(n), r)
		if err := b.Delete(ctx, "k", r); err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		wantNone(t, b, "k")
		last = r
	}
	r := mustPut(t, bs[0], "k", "put", nil)
	wantValue(t, bs[0], "k", "put", r)
}

func keys(t *testing.T, bs []bucket.Bucket) {
	b, ctx := bs[0], context30(t)
	good := []string{"a", "A-Z_0.9", "sha256-" + strings.Repeat("0", 64), strings.Repeat("k", bucket.MaxKeyBytes), "a.b.c.d", "-", "_", "a-", "_.-"}
	for _, key := range good {
		r := mustPut(t, b, key, "of "+key, nil)
		wantValue(t, b, key, "of "+key, r)
	}
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a b", "a*", ">", "a.*", "a/b", "a:b", "a\n", "ü", "a\x00", "\xff", strings.Repeat("k", bucket.MaxKeyBytes+1)} {
		_, err := b.Get(ctx, key)
		wantErr(t, fmt.Sprintf("Get %q", key), err, bucket.ErrKey)
		_, err = b.Create(ctx, key, nil)
		wantErr(t, fmt.Sprintf("Create %q", key), err, bucket.ErrKey)
		_, err = b.Update(ctx, key, nil, 1)
		wantErr(t, fmt.Sprintf("Update %q", key), err, bucket.ErrKey)
		_, err = b.Put(ctx, key, nil, nil)
		wantErr(t, fmt.Sprintf("Put %q", key), err, bucket.ErrKey)
		wantErr(t, fmt.Sprintf("Delete %q", key), b.Delete(ctx, key, 0), bucket.ErrKey)
	}
	// A key is no prefix of another.
	if err := b.Delete(ctx, "a", 0); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Get(ctx, "a.b.c.d"); err != nil || e == nil {
		t.Errorf("a.b.c.d after the end of a: %v, %v", e, err)
	}
}

// random is not to be compressed.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

func sizes(t *testing.T, bs []bucket.Bucket) {
	b, ctx := bs[0], context30(t)
	for _, n := range []int{0, 1, 900 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5 << 20, 3} {
		value := random(n)
		if _, err := b.Put(ctx, "k", value, bucket.Meta{"Size": fmt.Sprint(n)}); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		for i := range bs {
			e := awaited(t, anyOf(bs, i), "k", n)
			if !bytes.Equal(e.Value, value) || e.Meta["Size"] != fmt.Sprint(n) {
				t.Fatalf("%d bytes: read %d others, %v", n, len(e.Value), e.Meta)
			}
		}
	}
	large := random(3 << 20)
	r, err := b.Create(ctx, "large", large)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Create(ctx, "large", random(4<<20))
	wantErr(t, "Create of a large one twice", err, bucket.ErrExists)
	_, err = b.Update(ctx, "large", random(4<<20), r+1)
	wantErr(t, "Update of a large one", err, bucket.ErrChanged)
	if e, err := b.Get(ctx, "large"); err != nil || !bytes.Equal(e.Value, large) {
		t.Fatalf("after refused writes: %v", err)
	}
	if _, err := b.Update(ctx, "large", large[:2<<20], r); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Get(ctx, "large"); err != nil || !bytes.Equal(e.Value, large[:2<<20]) {
		t.Fatalf("after an update: %v", err)
	}
	if err := b.Delete(ctx, "large", 0); err != nil {
		t.Fatal(err)
	}
	wantNone(t, b, "large")
}

// awaited reads until the value has the size: another process's write may be
// seen a moment later.
func awaited(t *testing.T, b bucket.Bucket, key string, size int) *bucket.Entry {
	t.Helper()
	for ctx := context30(t); ; time.Sleep(time.Millisecond) {
		e, err := b.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if e != nil && e.Size == size {
			return e
		}
	}
}

const racers = 50

// race has all of them try at once, and returns how many succeeded; the others
// must have the error.
func race(t *testing.T, bs []bucket.Bucket, lost error, try func(b bucket.Bucket, n int) error) []int {
	t.Helper()
	var wg sync.WaitGroup
	begin, results := make(chan struct{}), make([]error, racers)
	for n := range racers {
		wg.Go(func() {
			<-begin
			results[n] = try(anyOf(bs, n), n)
		})
	}
	close(begin)
	wg.Wait()
	var won []int
	for n, err := range results {
		switch {
		case err == nil:
			won = append(won, n)
		case !errors.Is(err, lost):
			t.Fatalf("racer %d: %v, want %v", n, err, lost)
		}
	}
	return won
}

func oneCreates(t *testing.T, bs []bucket.Bucket) {
	ctx := context30(t)
	for round := range 3 {
		var revision atomic.Uint64
		won := race(t, bs, bucket.ErrExists, func(b bucket.Bucket, n int) error {
			r, err := b.Create(ctx, "k", []byte(fmt.Sprint(n)))
			if err == nil {
				revision.Store(r)
			}
			return err
		})
		if len(won) != 1 {
			t.Fatalf("round %d: %d created it: %v", round, len(won), won)
		}
		winner := anyOf(bs, won[0])
		wantValue(t, winner, "k", fmt.Sprint(won[0]), revision.Load())
		if err := winner.Delete(ctx, "k", revision.Load()); err != nil {
			t.Fatal(err)
		}
	}
}

func oneUpdates(t *testing.T, bs []bucket.Bucket) {
	ctx := context30(t)
	r := mustPut(t, bs[0], "k", "", nil)
	for round := range 3 {
		var revision atomic.Uint64
		won := race(t, bs, bucket.ErrChanged, func(b bucket.Bucket, n int) error {
			next, err := b.Update(ctx, "k", []byte(fmt.Sprint(n)), r)
			if err == nil {
				revision.Store(next)
			}
			return err
		})
		if len(won) != 1 {
			t.Fatalf("round %d: %d updated it: %v", round, len(won), won)
		}
		r = revision.Load()
		wantValue(t, anyOf(bs, won[0]), "k", fmt.Sprint(won[0]), r)
	}
}

func oneDeletes(t *testing.T, bs []bucket.Bucket) {
	ctx := context30(t)
	r := mustPut(t, bs[0], "k", "", nil)
	if won := race(t, bs, bucket.ErrChanged, func(b bucket.Bucket, _ int) error { return b.Delete(ctx, "k", r) }); len(won) != 1 {
		t.Fatalf("%d deleted it: %v", len(won), won)
	}
	mustPut(t, bs[0], "k", "", nil)
	if won := race(t, bs, nil, func(b bucket.Bucket, _ int) error { return b.Delete(ctx, "k", 0) }); len(won) != racers {
		t.Fatalf("%d deleted it at any revision", len(won))
	}
	wantNone(t, bs[0], "k")
}

func counter(t *testing.T, bs []bucket.Bucket) {
	ctx := context30(t)
	mustPut(t, bs[0], "k", "", nil)
	const each = 5
	var wg sync.WaitGroup
	for n := range 8 {
		b := anyOf(bs, n)
		wg.Go(func() {
			for done := 0; done < each; {
				e, err := b.Get(ctx, "k")
				if err != nil || e == nil {
					t.Errorf("Get: %v, %v", e, err)
					return
				}
				switch _, err := b.Update(ctx, "k", append(bytes.Clone(e.Value), 'x'), e.Revision); {
				case err == nil:
					done++
				case !errors.Is(err, bucket.ErrChanged):
					t.Errorf("Update: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	awaited(t, bs[0], "k", 8*each)
}

// watching is a watch under way.
type watching struct {
	t      *testing.T
	events chan bucket.Event
	end    context.CancelFunc
	done   chan error
}

func watch(t *testing.T, b bucket.Bucket, o bucket.WatchOptions) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{t: t, events: make(chan bucket.Event, 1<<16), end: cancel, done: make(chan error, 1)}
	go func() { w.done <- b.Watch(ctx, o, func(e bucket.Event) { w.events <- e }) }()
	t.Cleanup(w.stop)
	return w
}

// stop ends the watch and waits for it.
func (w *watching) stop() {
	if w.done == nil {
		return
	}
	w.end()
	select {
	case err := <-w.done:
		if !errors.Is(err, context.Canceled) {
			w.t.Errorf("Watch: %v, want the context's error", err)
		}
	case <-time.After(patience):
		w.t.Error("Watch did not return after its context ended")
	}
	w.done = nil
}

func (w *watching) next() bucket.Event {
	w.t.Helper()
	select {
	case e := <-w.events:
		return e
	case err := <-w.done:
		w.done = nil
		w.t.Fatalf("Watch ended: %v", err)
	case <-time.After(patience):
		w.t.Fatal("no event")
	}
	panic("not reached")
}

func (w *watching) want(kind bucket.Kind, key string) bucket.Entry {
	w.t.Helper()
	e := w.next()
	if e.Kind != kind || e.Entry.Key != key {
		w.t.Fatalf("event %d of %q at %d, want %d of %q", e.Kind, e.Entry.Key, e.Entry.Revision, kind, key)
	}
	return e.Entry
}

func watched(t *testing.T, bs []bucket.Bucket) {
	b, ctx := bs[0], context30(t)
	empty := watch(t, anyOf(bs, 1), bucket.WatchOptions{})
	empty.want(bucket.Reset, "")
	empty.want(bucket.Synced, "")

	mustPut(t, b, "gone", "", nil)
	r1 := mustPut(t, b, "a", "1", bucket.Meta{"M": "1"})
	r2 := mustPut(t, b, "b", "22", nil)
	if err := b.Delete(ctx, "gone", 0); err != nil {
		t.Fatal(err)
	}
	// What came of "gone" in between may be left out.
	var told []string
	for e := empty.next(); ; e = empty.next() {
		if e.Kind == bucket.Deleted && e.Entry.Key == "gone" {
			break
		}
		if e.Entry.Key != "gone" {
			told = append(told, fmt.Sprint(e.Kind, e.Entry.Key))
		}
	}
	if diff := cmp.Diff([]string{fmt.Sprint(bucket.Wrote, "a"), fmt.Sprint(bucket.Wrote, "b")}, told); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}

	with, without := watch(t, anyOf(bs, 1), bucket.WatchOptions{}), watch(t, anyOf(bs, 2), bucket.WatchOptions{WithoutValues: true})
	check := func(key, value string, revision uint64, meta bucket.Meta) {
		t.Helper()
		for _, w := range []*watching{with, without} {
			e := w.want(bucket.Wrote, key)
			want := bucket.Entry{Key: key, Revision: revision, Size: len(value), Meta: meta, Written: e.Written}
			if w == with {
				want.Value = []byte(value)
			}
			if diff := cmp.Diff(want, e); diff != "" {
				t.Fatalf("entry (-want +got):\n%s", diff)
			}
			if e.Written.IsZero() {
				t.Error("written never")
			}
		}
	}
	for _, w := range []*watching{with, without} {
		w.want(bucket.Reset, "")
	}
	check("a", "1", r1, bucket.Meta{"M": "1"})
	check("b", "22", r2, nil)
	for _, w := range []*watching{with, without} {
		if e := w.next(); e.Kind == bucket.Deleted && e.Entry.Key == "gone" { // may be told
			w.want(bucket.Synced, "")
		} else if e.Kind != bucket.Synced {
			t.Fatalf("event %v, want Synced", e)
		}
	}
	check("c", "333", mustPut(t, b, "c", "333", bucket.Meta{"M": "3"}), bucket.Meta{"M": "3"})
	r, err := b.Update(ctx, "a", []byte("4444"), r1)
	if err != nil {
		t.Fatal(err)
	}
	check("a", "4444", r, nil)
	if err := b.Delete(ctx, "a", r); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*watching{with, without} {
		if e := w.want(bucket.Deleted, "a"); e.Revision <= r || e.Value != nil {
			t.Errorf("deleted at %d, after %d, with %q", e.Revision, r, e.Value)
		}
	}
	if r, err = b.Create(ctx, "a", []byte("5")); err != nil {
		t.Fatal(err)
	}
	check("a", "5", r, nil)
}

// state is what a watch makes of its events, checked on the way.
type state struct {
	values map[string]string
	last   uint64
	synced bool
}

func (s *state) see(t *testing.T, e bucket.Event) {
	t.Helper()
	switch e.Kind {
	case bucket.Reset:
		*s = state{values: map[string]string{}}
		return
	case bucket.Synced:
		if s.synced {
			t.Error("synced twice")
		}
		s.synced = true
		return
	case bucket.Wrote:
		s.values[e.Entry.Key] = string(e.Entry.Value)
	case bucket.Deleted:
		delete(s.values, e.Entry.Key)
	}
	if e.Entry.Revision <= s.last {
		t.Errorf("revision %d after %d", e.Entry.Revision, s.last)
	}
	s.last = e.Entry.Revision
}

// until sees events until the revision has been told of the key "end".
func (w *watching) until(s *state, revision uint64) {
	w.t.Helper()
	for {
		e := w.next()
		s.see(w.t, e)
		if e.Entry.Key == "end" && e.Entry.Revision >= revision {
			return
		}
	}
}

// scribble writes and deletes a few keys until stopped, and returns what is there
// then.
func scribble(t *testing.T, bs []bucket.Bucket, stop <-chan struct{}) map[string]string {
	var wg sync.WaitGroup
	var mu sync.Mutex
	there := map[string]string{}
	for n := range 6 {
		b := anyOf(bs, n)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // the same in each run, guards nothing
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key, value := fmt.Sprintf("k%d.%d", n, r.IntN(10)), fmt.Sprintf("%d of %d", i, n)
				var err error
				remove := r.IntN(4) == 0
				if remove {
					err = b.Delete(t.Context(), key, 0)
				} else {
					_, err = b.Put(t.Context(), key, []byte(value), nil)
				}
				if err != nil {
					t.Errorf("writing %s: %v", key, err)
					return
				}
				mu.Lock()
				if there[key] = value; remove {
					delete(there, key)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return there
}

func watchAmidWrites(t *testing.T, bs []bucket.Bucket) {
	stop, result := make(chan struct{}), make(chan map[string]string, 1)
	go func() { result <- scribble(t, bs, stop) }()
	var watches []*watching
	for n := range 5 {
		time.Sleep(20 * time.Millisecond)
		watches = append(watches, watch(t, anyOf(bs, n), bucket.WatchOptions{}))
	}
	time.Sleep(50 * time.Millisecond)
	close(stop)
	want := <-result
	if len(want) == 0 {
		t.Fatal("nothing was written")
	}
	r := mustPut(t, bs[0], "end", "", nil)
	want["end"] = ""
	for n, w := range watches {
		var s state
		w.until(&s, r)
		if !s.synced {
			w.want(bucket.Synced, "")
		}
		if diff := cmp.Diff(want, s.values); diff != "" {
			t.Errorf("watch %d has seen (-want +got):\n%s", n, diff)
		}
	}
}

func watchesAgree(t *testing.T, bs []bucket.Bucket) {
	var watches []*watching
	for _, b := range bs {
		watches = append(watches, watch(t, b, bucket.WatchOptions{}), watch(t, b, bucket.WatchOptions{}))
	}
	for _, w := range watches {
		w.want(bucket.Reset, "")
		w.want(bucket.Synced, "")
	}
	stop, result := make(chan struct{}), make(chan map[string]string, 1)
	go func() { result <- scribble(t, bs, stop) }()
	time.Sleep(100 * time.Millisecond)
	close(stop)
	<-result
	end := mustPut(t, bs[0], "end", "", nil)
	// Of one key several changes may be told as one; the order is the same.
	var first []uint64
	for n, w := range watches {
		var told []uint64
		for e := w.next(); ; e = w.next() {
			told = append(told, e.Entry.Revision)
			if e.Entry.Revision >= end {
				break
			}
		}
		if n == 0 {
			first = told
		}
		for i := 1; i < len(told); i++ {
			if told[i] <= told[i-1] {
				t.Fatalf("watch %d: revision %d after %d", n, told[i], told[i-1])
			}
		}
		if len(told) == 0 || told[len(told)-1] != first[len(first)-1] {
			t.Errorf("watch %d ends elsewhere than the first", n)
		}
	}
}

func watchOfLargeValues(t *testing.T, bs []bucket.Bucket) {
	b := bs[0]
	first, second := random(3<<20), random(2<<20)
	if _, err := b.Put(context30(t), "k", first, bucket.Meta{"N": "1"}); err != nil {
		t.Fatal(err)
	}
	with, without := watch(t, anyOf(bs, 1), bucket.WatchOptions{}), watch(t, anyOf(bs, 1), bucket.WatchOptions{WithoutValues: true})
	for _, w := range []*watching{with, without} {
		w.want(bucket.Reset, "")
		e := w.want(bucket.Wrote, "k")
		w.want(bucket.Synced, "")
		if e.Size != len(first) || e.Meta["N"] != "1" || (w == with) != bytes.Equal(e.Value, first) {
			t.Errorf("size %d, %v, %d bytes", e.Size, e.Meta, len(e.Value))
		}
	}
	if _, err := b.Put(context30(t), "k", second, nil); err != nil {
		t.Fatal(err)
	}
	if e := with.want(bucket.Wrote, "k"); !bytes.Equal(e.Value, second) {
		t.Errorf("%d bytes of another value", len(e.Value))
	}
	if e := without.want(bucket.Wrote, "k"); e.Size != len(second) || e.Value != nil {
		t.Errorf("size %d, %d bytes", e.Size, len(e.Value))
	}
	if err := b.Delete(context30(t), "k", 0); err != nil {
		t.Fatal(err)
	}
	with.want(bucket.Deleted, "k")
	without.want(bucket.Deleted, "k")
}

func manyKeys(t *testing.T, bs []bucket.Bucket) {
	const n = 2000
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for i := w; i < n; i += 20 {
				if _, err := anyOf(bs, i).Put(context30(t), fmt.Sprintf("k.%d", i), []byte(fmt.Sprint(i)), nil); err != nil {
					t.Errorf("key %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	w := watch(t, bs[0], bucket.WatchOptions{})
	var s state
	for !s.synced && !t.Failed() {
		s.see(t, w.next())
	}
	if len(s.values) != n {
		t.Fatalf("%d keys were told of %d before Synced", len(s.values), n)
	}
	for i := range n {
		if got := s.values[fmt.Sprintf("k.%d", i)]; got != fmt.Sprint(i) {
			t.Fatalf("key %d: %q", i, got)
		}
	}
}

func ownWrites(t *testing.T, bs []bucket.Bucket) {
	ctx := context30(t)
	var wg sync.WaitGroup
	for n := range 10 {
		b, key := anyOf(bs, n), fmt.Sprintf("k%d", n)
		wg.Go(func() {
			for i := range 30 {
				value := fmt.Sprint(i)
				r, err := b.Put(ctx, key, []byte(value), nil)
				if err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				if e, err := b.Get(ctx, key); err != nil || e == nil || e.Revision != r || string(e.Value) != value {
					t.Errorf("%s at %d was read as %v, %v", key, r, e, err)
					return
				}
				if i%3 != 0 {
					continue
				}
				if err := b.Delete(ctx, key, r); err != nil {
					t.Errorf("Delete: %v", err)
					return
				}
				if e, err := b.Get(ctx, key); err != nil || e != nil {
					t.Errorf("%s was read as %v, %v after its end", key, e, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func contextEnds(t *testing.T, bs []bucket.Bucket) {
	b := bs[0]
	r := mustPut(t, b, "k", "1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Get(ctx, "k")
	wantErr(t, "Get", err, context.Canceled)
	_, err = b.Create(ctx, "new", nil)
	wantErr(t, "Create", err, context.Canceled)
	_, err = b.Update(ctx, "k", nil, r)
	wantErr(t, "Update", err, context.Canceled)
	_, err = b.Put(ctx, "k", nil, nil)
	wantErr(t, "Put", err, context.Canceled)
	wantErr(t, "Delete", b.Delete(ctx, "k", r), context.Canceled)
	wantErr(t, "Watch", b.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
		if e.Kind != bucket.Reset {
			t.Errorf("event %v", e)
		}
	}), context.Canceled)
	wantValue(t, b, "k", "1", r)
	wantNone(t, b, "new")

	// Nothing is told after Watch has returned.
	ctx, cancel = context.WithCancel(t.Context())
	var returned atomic.Bool
	told, done := make(chan struct{}, 1<<16), make(chan error, 1)
	go func() {
		err := b.Watch(ctx, bucket.WatchOptions{}, func(bucket.Event) {
			if returned.Load() {
				t.Error("told after the end")
			}
			told <- struct{}{}
		})
		returned.Store(true)
		done <- err
	}()
	<-told
	cancel()
	wantErr(t, "Watch", <-done, context.Canceled)
	mustPut(t, b, "k", "2", nil)
}

func valuesBelongToNobody(t *testing.T, bs []bucket.Bucket) {
	b, ctx := bs[0], context30(t)
	value := []byte("as it was given")
	kept := bytes.Clone(value)
	if _, err := b.Put(ctx, "k", value, bucket.Meta{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	one, err := b.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, b, "k", "another", nil)
	if !bytes.Equal(value, kept) || !bytes.Equal(one.Value, kept) {
		t.Errorf("given %q, read %q, then %q", kept, one.Value, value)
	}
}

func revisions(t *testing.T, bs []bucket.Bucket) {
	var last uint64
	for i := range 30 {
		r := mustPut(t, anyOf(bs, i), fmt.Sprintf("k%d", i%3), "", nil)
		if r <= last {
			t.Fatalf("revision %d after %d", r, last)
		}
		last = r
	}
}
