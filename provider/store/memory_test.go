package store_test

import (
	"encoding/json"
	"fmt"
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
	if err := m.Put(t.Context(), digest, s); err != nil {
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
	m := newMemory(t, store.MemoryOptions{Reports: 100, Bytes: 5000})
	for i := range 20 {
		mustPut(t, m, fmt.Sprint(i), scanOfSize(1000))
	}
	if n := m.Len(); n < 2 || n > 4 {
		t.Errorf("%d scans of about 1.1 kB kept in 5000 bytes", n)
	}
	for range 20 {
		mustPut(t, m, "same", scanOfSize(1000))
	}
	if n := m.Len(); n < 2 {
		t.Errorf("replacing one scan 20 times left %d: its bytes are counted more than once", n)
	}
	big := scanOfSize(10000)
	mustPut(t, m, "big", big)
	if get(t, m, "big") != big || m.Len() != 1 {
		t.Error("a scan over the whole budget must be kept, alone")
	}
}

func TestMemoryUnderConcurrentUse(t *testing.T) {
	m := newMemory(t, store.MemoryOptions{Reports: 10, Bytes: 1 << 20})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				digest := fmt.Sprint((g + i) % 15)
				if err := m.Put(t.Context(), digest, scanOfSize(i)); err != nil {
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
