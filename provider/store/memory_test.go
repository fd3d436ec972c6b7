package store_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/store"
)

func newMemory(t *testing.T, o store.MemoryOptions) *store.Memory {
	t.Helper()
	m, err := store.NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func scanOfSize(n int) *report.Scan {
	return &report.Scan{Inner: json.RawMessage(`"` + strings.Repeat("x", n) + `"`)}
}

func mustPut(t *testing.T, m *store.Memory, digest string, s *report.Scan) {
	t.Helper()
	if _, err := m.Put(t.Context(), "shop", digest, s); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, m *store.Memory, digest string) *report.Scan {
	t.Helper()
	s, err := m.Get(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMemoryForgetsTheLeastRecentlyUsed(t *testing.T) {
	m := newMemory(t, store.MemoryOptions{Reports: 2, Bytes: 1 << 20})
	a, b, c := scanOfSize(1), scanOfSize(2), scanOfSize(3)
	mustPut(t, m, "a", a)
	mustPut(t, m, "b", b)
	if got := get(t, m, "a"); got != a {
		t.Fatalf("Get(a) = %v, want the scan put there", got)
	}
	mustPut(t, m, "c", c)
	if got := get(t, m, "b"); got != nil {
		t.Errorf("Get(b) = %v after two newer uses, want nil", got)
	}
	if get(t, m, "a") != a || get(t, m, "c") != c {
		t.Error("a recently used scan is gone")
	}
}

func TestMemoryStaysWithinItsBytes(t *testing.T) {
	m := newMemory(t, store.MemoryOptions{Reports: 1000, Bytes: 200_000})
	for i := range 400 {
		mustPut(t, m, fmt.Sprint(i), scanOfSize(1000))
	}
	if n := m.Len(); n < 100 || n > 150 {
		t.Errorf("%d scans of about 1.1 kB kept in 150 000 bytes", n)
	}
	before := m.Len()
	for range 400 {
		mustPut(t, m, "same", scanOfSize(1000))
	}
	if n := m.Len(); n < before {
		t.Errorf("replacing one scan 400 times left %d of %d: its bytes are counted more than once", n, before)
	}
}

func TestAScanLargerThanAllBytesIsTheOnlyLargeOne(t *testing.T) {
	m := newMemory(t, store.MemoryOptions{Reports: 100, Bytes: 200_000})
	big, small := scanOfSize(300_000), scanOfSize(1)
	mustPut(t, m, "small", small)
	mustPut(t, m, "other", scanOfSize(10_000))
	mustPut(t, m, "big", big)
	if get(t, m, "big") != big || get(t, m, "other") != nil || get(t, m, "small") != small {
		t.Error("a scan over all bytes must be kept, in place of the large ones alone")
	}
	mustPut(t, m, "big", small)
	if get(t, m, "big") != small || m.Len() != 2 {
		t.Errorf("the small scan that replaced it is one of %d", m.Len())
	}
}

// Eight large reports evicted a thousand small ones.
func TestLargeScansDoNotEvictSmallOnes(t *testing.T) {
	m := newMemory(t, store.MemoryOptions{Reports: 10_000, Bytes: 4 << 20})
	for i := range 1000 {
		mustPut(t, m, fmt.Sprint("small", i), scanOfSize(1000))
	}
	for i := range 50 {
		mustPut(t, m, fmt.Sprint("large", i), scanOfSize(500_000))
	}
	for i := range 1000 {
		if get(t, m, fmt.Sprint("small", i)) == nil {
			t.Fatalf("small scan %d is gone", i)
		}
	}
	if get(t, m, "large49") == nil {
		t.Error("the last large scan is gone")
	}
}

// What the store holds at its worst, by kind of scan, beside what it may.
func TestMemoryAtItsWorst(t *testing.T) {
	const most = 8 << 20
	for _, tc := range []struct {
		name string
		make func(i int) *report.Scan
	}{
		{"reports of scanners", func(int) *report.Scan { return scanOfSize(256 << 10) }},
		{"many short findings", func(int) *report.Scan {
			s := &report.Scan{}
			for i := range 1000 {
				s.Vulnerabilities = append(s.Vulnerabilities, report.Vulnerability{ID: fmt.Sprint("CVE-", i), Package: "p", Installed: "1"})
			}
			return s
		}},
		{"empty scans", func(int) *report.Scan { return &report.Scan{} }},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := newMemory(t, store.MemoryOptions{Reports: 10_000, Bytes: most})
		for i := range 150 {
			mustPut(t, m, fmt.Sprintf("sha256:%064d", i), tc.make(i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		fmt.Printf("store of %d MiB, %s: %d kept, %.1f MiB resident\n", most>>20, tc.name, m.Len(), float64(held)/(1<<20))
		if held > 2*most {
			t.Errorf("%s: %d bytes are held", tc.name, held)
		}
		runtime.KeepAlive(m)
	}
}

func TestMemoryUnderConcurrentUse(t *testing.T) {
	m := newMemory(t, store.MemoryOptions{Reports: 10, Bytes: 1 << 20})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				digest := fmt.Sprint((g + i) % 15)
				if _, err := m.Put(t.Context(), "shop", digest, scanOfSize(i)); err != nil {
					t.Error(err)
				}
				if _, err := m.Get(t.Context(), digest); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := m.Len(); n > 10 {
		t.Errorf("%d scans kept, limit 10", n)
	}
}
