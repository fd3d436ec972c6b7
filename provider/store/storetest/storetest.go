// Package storetest is the conformance suite of the stores of scans: what the
// scan service relies on, wherever reports are kept. It runs on the memory of one
// process, on a bucket in memory, and on NATS in each of its places.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// Store is a store of scans, as one replica has it.
type Store interface {
	Get(ctx context.Context, key string) (*report.Scan, error)
	GetAt(ctx context.Context, key string, revision uint64) (*report.Scan, error)
	Put(ctx context.Context, namespace, key string, scan *report.Scan) (revision uint64, err error)
}

// patience is how long anything may take; nothing should.
const patience = 30 * time.Second

// Run tests the stores that open makes. Each call of open begins with an empty
// store and returns a function that has another replica join it; what it starts
// ends with the test.
func Run(t *testing.T, open func(t *testing.T) (join func() Store)) {
	for name, test := range map[string]func(*testing.T, func() Store){
		"WhatIsNotThereIsNil":            absent,
		"AScanComesBackWhole":            whole,
		"EveryKeyOfSharing":              keys,
		"TheLastScanCounts":              last,
		"OthersSeeWhatOneHasPut":         others,
		"AWaitIsAnsweredByAnother":       awaited,
		"AWaitEndsWithItsContext":        abandoned,
		"AReplicaThatJoinsLater":         later,
		"ALargeScan":                     large,
		"ManyAtOnce":                     concurrent,
		"AScanThatIsThereIsNeverUnknown": never,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, s Store, key string, scan *report.Scan) uint64 {
	t.Helper()
	revision, err := s.Put(bounded(t), "shop", key, scan)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	return revision
}

func want(t *testing.T, scan *report.Scan, err error, want *report.Scan) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, scan); diff != "" {
		t.Fatalf("the scan differs (-want +got):\n%s", diff)
	}
}

func absent(t *testing.T, join func() Store) {
	s := join()
	scan, err := s.Get(bounded(t), Key(1))
	want(t, scan, err, nil)
	put(t, s, Key(2), Scan(2, 1))
	scan, err = s.Get(bounded(t), Key(1))
	want(t, scan, err, nil)
}

func whole(t *testing.T, join func() Store) {
	in := Full(1)
	for f, v := range reflect.ValueOf(*in).Fields() {
		if v.IsZero() {
			t.Fatalf("the test leaves %s empty", f.Name)
		}
	}
	for f, v := range reflect.ValueOf(in.Vulnerabilities[0]).Fields() {
		if v.IsZero() {
			t.Fatalf("the test leaves a finding's %s empty", f.Name)
		}
	}
	a, b := join(), join()
	revision := put(t, a, Key(1), in)
	scan, err := a.Get(bounded(t), Key(1))
	want(t, scan, err, Full(1))
	scan, err = b.GetAt(bounded(t), Key(1), revision)
	want(t, scan, err, Full(1))
}

func keys(t *testing.T, join func() Store) {
	a, b := join(), join()
	image := backend.Image{Registry: "https://r.example:5000", Repository: "team/app", Tag: "1", Index: Digest(9)}
	for i, sharing := range []backend.Sharing{backend.ByDigest, backend.ByRepository, backend.ByName} {
		image.Digest = Digest(i)
		revision := put(t, a, sharing.Key(image), Scan(i, 3))
		scan, err := b.GetAt(bounded(t), sharing.Key(image), revision)
		want(t, scan, err, Scan(i, 3))
	}
}

func last(t *testing.T, join func() Store) {
	a, b := join(), join()
	var before uint64
	for i := range 10 {
		by, other := a, b
		if i%2 == 1 {
			by, other = b, a
		}
		revision := put(t, by, Key(1), Scan(1, i))
		if revision <= before {
			t.Fatalf("revision %d follows %d", revision, before)
		}
		before = revision
		for _, s := range []Store{by, other} {
			scan, err := s.GetAt(bounded(t), Key(1), revision)
			want(t, scan, err, Scan(1, i))
		}
	}
}

// others have it without asking for a revision, before long.
func others(t *testing.T, join func() Store) {
	a, b := join(), join()
	scan, err := b.Get(bounded(t), Key(1))
	want(t, scan, err, nil)
	put(t, a, Key(1), Scan(1, 2))
	for ctx := bounded(t); scan == nil; time.Sleep(time.Millisecond) {
		if scan, err = b.Get(ctx, Key(1)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, scan, err, Scan(1, 2))
}

func awaited(t *testing.T, join func() Store) {
	a, b := join(), join()
	first := put(t, a, Key(1), Scan(1, 1))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			// Every store counts by one at least, so this waits for another write.
			scan, err := b.GetAt(bounded(t), Key(1), first)
			if err != nil || scan == nil {
				t.Errorf("GetAt: %v, %v", scan, err)
			}
		})
	}
	second := put(t, a, Key(1), Scan(1, 2))
	for range 20 {
		wg.Go(func() {
			scan, err := b.GetAt(bounded(t), Key(1), second)
			if err != nil || scan == nil || len(scan.Vulnerabilities) != 2 {
				t.Errorf("GetAt: %v, %v, want the second scan", scan, err)
			}
		})
	}
	wg.Wait()
}

func abandoned(t *testing.T, join func() Store) {
	s := join()
	revision := put(t, s, Key(1), Scan(1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// A store that knows at once, of one process, need not wait for what nobody wrote.
	scan, err := s.GetAt(ctx, Key(2), revision+1000)
	if scan != nil || err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("GetAt of what is never written: %v, %v", scan, err)
	}
}

func later(t *testing.T, join func() Store) {
	a := join()
	revisions := make([]uint64, 50)
	for i := range revisions {
		revisions[i] = put(t, a, Key(i), Scan(i, 2))
	}
	b := join()
	for i, revision := range revisions {
		scan, err := b.GetAt(bounded(t), Key(i), revision)
		want(t, scan, err, Scan(i, 2))
	}
}

// large is a scan of several megabytes that do not compress well.
func large(t *testing.T, join func() Store) {
	a, b := join(), join()
	in := Scan(1, 12000)
	revision := put(t, a, Key(1), in)
	scan, err := b.GetAt(bounded(t), Key(1), revision)
	want(t, scan, err, in)
}

func concurrent(t *testing.T, join func() Store) {
	stores := []Store{join(), join()}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			s := stores[g%len(stores)]
			for i := range 25 {
				n := i % 10
				if _, err := s.Put(bounded(t), fmt.Sprint("ns-", g), Key(n), Scan(n, 1+g)); err != nil {
					t.Error(err)
				}
				scan, err := s.Get(bounded(t), Key(n))
				if err != nil || scan == nil || scan.Subject != Digest(n) {
					t.Errorf("Get of %d: %v, %v", n, scan, err)
				}
			}
		})
	}
	wg.Wait()
}

// never looks again and again while scans are replaced by another replica.
func never(t *testing.T, join func() Store) {
	a, b := join(), join()
	revision := put(t, a, Key(1), Scan(1, 1))
	if _, err := b.GetAt(bounded(t), Key(1), revision); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 50 {
			if _, err := a.Put(bounded(t), "shop", Key(1), Scan(1, 1+i%3)); err != nil {
				t.Error(err)
			}
		}
	})
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		if scan, err := b.Get(bounded(t), Key(1)); err != nil || scan == nil {
			t.Errorf("Get: %v, %v", scan, err)
			break
		}
	}
	wg.Wait()
}
