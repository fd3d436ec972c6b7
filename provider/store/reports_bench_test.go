package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/store/storetest"
)

// BenchmarkWarmGet is what an answer costs whose report is in memory, from the
// memory of one process and from the one that a watch keeps true.
func BenchmarkWarmGet(b *testing.B) {
	const reports = 500
	memory, err := store.NewMemory(store.MemoryOptions{Reports: reports, Bytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	shared := running(b, store.ReportsOptions{Bucket: bucket.NewMemory(), CacheBytes: 1 << 30})
	for shared.Ready(b.Context()) != nil {
		time.Sleep(time.Millisecond)
	}
	keys := make([]string, reports)
	for i := range keys {
		keys[i] = storetest.Key(i)
	}
	for name, s := range map[string]storetest.Store{"Memory": memory, "Reports": shared} {
		for i, key := range keys {
			if _, err := s.Put(b.Context(), "shop", key, storetest.Scan(i, 10)); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if scan, err := s.Get(context.Background(), keys[i%reports]); err != nil || scan == nil {
						b.Error("the report is not there", err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkColdGet is what it costs to read a report of 300 findings that is not
// in memory, without the way to the bucket.
func BenchmarkColdGet(b *testing.B) {
	m := bucket.NewMemory()
	putReport(b, newReports(b, store.ReportsOptions{Bucket: m}), "shop", 1, 300)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		r := newReports(b, store.ReportsOptions{Bucket: m})
		b.StartTimer()
		if scan, err := r.Get(b.Context(), storetest.Key(1)); err != nil || scan == nil {
			b.Fatal("the report is not there", err)
		}
	}
}

// BenchmarkPut is what it costs to pack and keep a report of 300 findings.
func BenchmarkPut(b *testing.B) {
	r := running(b, store.ReportsOptions{Bucket: bucket.NewMemory()})
	scan := storetest.Scan(1, 300)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Put(b.Context(), "shop", storetest.Key(1), scan); err != nil {
			b.Fatal(err)
		}
	}
}

// TestResidentMemory prints what a replica holds resident that has many reports
// of 300 findings in the store and has read all of them, with the default of what
// is kept in memory. The bucket is elsewhere, as JetStream's files are: all
// reports have the bytes of one.
func TestResidentMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads two thousand reports")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // as the provider runs
	for _, reports := range []int{10_000, 50_000} {
		r := newReports(t, store.ReportsOptions{Bucket: copies{newElsewhere(t, reports)}, Bytes: 1 << 40, CacheBytes: store.DefaultCacheBytes})
		debug.FreeOSMemory()
		before := resident(t)
		stop := run(t, r)
		for r.Ready(t.Context()) != nil {
			time.Sleep(time.Millisecond)
		}
		index := resident(t) - before
		began := time.Now()
		const read = 1000 // more than is kept in memory
		for i := range read {
			if scan, err := r.Get(t.Context(), storetest.Key(i)); err != nil || len(scan.Vulnerabilities) != 300 {
				t.Fatal("the report is not there", err)
			}
		}
		each := time.Since(began) / read
		full := resident(t) - before
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Printf("%d reports of 300 findings: %d MiB resident for the index; %d MiB after reading %d of them, %s each, %d MiB of it alive, %d MiB reckoned of %d\n",
			reports, index>>20, full>>20, read, each.Round(10*time.Microsecond), m.HeapAlloc>>20, r.Cached()>>20, int64(store.DefaultCacheBytes)>>20)
		if alive, most := int64(m.HeapAlloc), int64(store.DefaultCacheBytes*3/2); alive > most {
			t.Errorf("%d bytes are alive, more than %d", alive, most)
		}
		stop()
	}
}

// resident is this process's resident memory in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// elsewhere is a bucket that holds n reports of 300 findings in no memory. They
// differ in what they are about only.
type elsewhere struct {
	bucket.Bucket
	n     int
	codec *store.Codec
	text  []byte
}

func newElsewhere(t *testing.T, n int) *elsewhere {
	t.Helper()
	text, err := json.Marshal(storetest.Scan(0, 300))
	if err != nil {
		t.Fatal(err)
	}
	return &elsewhere{n: n, codec: newCodec(t, 0, 0), text: text}
}

func (e *elsewhere) Get(_ context.Context, key string) (*bucket.Entry, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(key, "sha256-"), 16, 64)
	if err != nil {
		return nil, err
	}
	text := bytes.ReplaceAll(e.text, []byte(storetest.Digest(0)), []byte(storetest.Digest(int(n))))
	value := e.codec.Pack(key, text, len(text))
	return &bucket.Entry{Key: key, Value: value, Size: len(value), Meta: bucket.Meta{"owner": "shop"}, Revision: uint64(n) + 1}, nil
}

func (e *elsewhere) Watch(ctx context.Context, _ bucket.WatchOptions, see func(bucket.Event)) error {
	see(bucket.Event{Kind: bucket.Reset})
	for i := range e.n {
		see(bucket.Event{Kind: bucket.Wrote, Entry: bucket.Entry{Key: storetest.Key(i), Size: 48_000, Meta: bucket.Meta{"owner": fmt.Sprint("ns-", i%200)}, Revision: uint64(i) + 1}})
	}
	see(bucket.Event{Kind: bucket.Synced})
	<-ctx.Done()
	return ctx.Err()
}
