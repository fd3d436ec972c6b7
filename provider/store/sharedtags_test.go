package store_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/store"
)

func sharedTags(t testing.TB, o store.SharedTagsOptions) *store.SharedTags {
	t.Helper()
	if o.Bytes == 0 {
		o.Bytes = 1 << 20
	}
	tags, err := store.NewSharedTags(o)
	if err != nil {
		t.Fatal(err)
	}
	return tags
}

type tagMemory interface {
	Saw(ctx context.Context, namespace, tag, digest string) error
	Means(ctx context.Context, namespace, tag, digest string) (bool, error)
}

func sees(t testing.TB, tags tagMemory, namespace, tag, digest string) {
	t.Helper()
	if err := tags.Saw(t.Context(), namespace, tag, digest); err != nil {
		t.Fatal(err)
	}
}

func knows(t testing.TB, tags tagMemory, namespace, tag, digest string) bool {
	t.Helper()
	ok, err := tags.Means(t.Context(), namespace, tag, digest)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestTagsOutliveTheProcessAndReachOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		a, other := sharedTags(t, store.SharedTagsOptions{Bucket: b}), sharedTags(t, store.SharedTagsOptions{Bucket: b})
		stop := run(t, a)
		run(t, other)
		for range 100 {
			sees(t, a, "shop", "r.example/shop:1", "sha256:a")
		}
		sees(t, other, "team", "r.example/team:1", "sha256:b")
		synctest.Wait()
		stop()
		later := sharedTags(t, store.SharedTagsOptions{Bucket: b})
		run(t, later)
		synctest.Wait()
		for name, tags := range map[string]tagMemory{"a": a, "other": other, "later": later} {
			if !knows(t, tags, "x", "r.example/shop:1", "sha256:a") || !knows(t, tags, "x", "r.example/team:1", "sha256:b") {
				t.Errorf("%s does not know what was seen", name)
			}
			if knows(t, tags, "x", "r.example/shop:1", "sha256:b") {
				t.Errorf("%s knows what nobody saw", name)
			}
		}
		if n := b.entries.Load(); n != 2 {
			t.Errorf("%d writes of two things", n)
		}
	})
}

// What there is no room for is forgotten everywhere, by namespace.
func TestSharedTagsAreBoundedAndFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 64 << 10
		b := newFaulty()
		o := store.SharedTagsOptions{Bucket: b, Bytes: most}
		a, other := sharedTags(t, o), sharedTags(t, o)
		run(t, a)
		run(t, other)
		sees(t, a, "quiet", "r.example/quiet:1", "sha256:a")
		for i := range 3000 {
			sees(t, a, "loud", fmt.Sprintf("r.example/%s:%d", strings.Repeat("x", 200), i), "sha256:a")
			if i%10 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		later := sharedTags(t, o)
		run(t, later)
		synctest.Wait()
		for name, tags := range map[string]*store.SharedTags{"a": a, "other": other, "later": later} {
			if n := tags.Bytes(); n > most || n < most/2 {
				t.Errorf("%s holds %d bytes of %d", name, n, most)
			}
			if !knows(t, tags, "x", "r.example/quiet:1", "sha256:a") {
				t.Errorf("%s: one namespace flushed another's tag", name)
			}
			if newest := fmt.Sprintf("r.example/%s:%d", strings.Repeat("x", 200), 2999); !knows(t, tags, "x", newest, "sha256:a") {
				t.Errorf("%s does not know what was seen last", name)
			}
		}
		if n := len(keysOf(t, b.Memory)); n > most/300 {
			t.Errorf("the bucket holds %d, more than what is remembered", n)
		}
	})
}

func TestTagsAreWrittenWhenTheBucketIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := newFaulty()
		a := sharedTags(t, store.SharedTagsOptions{Bucket: b, Bytes: 8 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		run(t, a)
		b.away.Store(true)
		for i := range 6000 {
			sees(t, a, "shop", fmt.Sprintf("r.example/shop:%d", i), "sha256:a")
		}
		time.Sleep(time.Minute)
		if !knows(t, a, "shop", "r.example/shop:5999", "sha256:a") {
			t.Error("what was seen is not known here")
		}
		b.away.Store(false)
		time.Sleep(time.Minute)
		if n := b.entries.Load(); n != 4096 {
			t.Errorf("%d were written, want all that may wait", n)
		}
		if lines := strings.Count(log.String(), "\n"); lines > 60 || !strings.Contains(log.String(), "too much waits to be") {
			t.Errorf("the log has %d lines:\n%.2000s", lines, log.String())
		}
	})
}

// With the bucket away nothing grows without bound, whatever is seen.
func TestTagsStayBoundedWhileTheBucketIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 256 << 10
		b := newFaulty()
		a := sharedTags(t, store.SharedTagsOptions{Bucket: b, Bytes: most})
		run(t, a)
		sees(t, a, "shop", "r.example/first:1", "sha256:a")
		synctest.Wait()
		b.away.Store(true)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 100_000 {
			sees(t, a, "loud", fmt.Sprintf("r.example/shop:%d", i), "sha256:a")
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8*most {
			t.Errorf("%d bytes more are held", grown)
		}
	})
}

// What is not what was written says nothing of a tag: an exception for the tag
// would hold for another image.
func TestABrokenTagDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		a := sharedTags(t, store.SharedTagsOptions{Bucket: b})
		run(t, a)
		sees(t, a, "shop", "r.example/shop:1", "sha256:a")
		synctest.Wait()
		key := keysOf(t, b)[0]
		e, err := b.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		value := e.Value
		for _, bad := range [][]byte{nil, value[:len(value)-1], bytes.Replace(value, []byte("sha256:a"), []byte("sha256:b"), 1)} {
			if _, err := b.Put(t.Context(), key, bad, nil); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			r := sharedTags(t, store.SharedTagsOptions{Bucket: b, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			stop := run(t, r)
			synctest.Wait()
			if knows(t, r, "x", "r.example/shop:1", "sha256:a") || knows(t, r, "x", "r.example/shop:1", "sha256:b") {
				t.Errorf("%q counts", bad)
			}
			stop()
			if !strings.Contains(log.String(), "its key is not its checksum") {
				t.Errorf("the log says %q", log.String())
			}
		}
	})
}

func TestSharedTagsNeedABucketAndABound(t *testing.T) {
	for _, o := range []store.SharedTagsOptions{{Bytes: 1}, {Bucket: bucket.NewMemory()}} {
		if _, err := store.NewSharedTags(o); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}
