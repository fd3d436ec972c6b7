package bus_test

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/store/storetest"
)

// stores runs the suite of what is kept in buckets, with replicas that are at one
// of the buses after another.
func stores(t *testing.T, buses ...*bus.Bus) {
	storetest.RunOn(t, func(t *testing.T) func() func(string) bucket.Bucket {
		prefix, joined := unique(), 0
		return func() func(string) bucket.Bucket {
			b := buses[joined%len(buses)]
			joined++
			return func(name string) bucket.Bucket {
				return bucketOf(t, b, prefix+"-"+name, bus.BucketOptions{MaxBytes: 64 << 20})
			}
		}
	})
}

func TestStoresOnAnEmbeddedServer(t *testing.T) {
	b, _ := open(t, bus.Options{DataDir: t.TempDir()})
	ready(t, b)
	stores(t, b)
}

func TestStoresOnACluster(t *testing.T) {
	t.Parallel()
	stores(t, startCluster(t).buses...)
}

func TestStoresOnAnExternalServer(t *testing.T) {
	s := natsServer(t, t.TempDir(), -1, nil)
	var buses []*bus.Bus
	for range 2 {
		b, _ := open(t, external(s))
		buses = append(buses, b)
	}
	stores(t, buses...)
}

// TestReportsOnDisk prints what reports of 300 findings take in the files of an
// embedded server, and how long it is until a process that begins anew knows them
// and has read each once.
func TestReportsOnDisk(t *testing.T) {
	const reports = 300
	dir := t.TempDir()
	begin := func() (*store.Reports, func()) {
		b, _ := open(t, bus.Options{DataDir: dir})
		r, err := store.NewReports(store.ReportsOptions{
			Bucket: bucketOf(t, b, "reports", bus.BucketOptions{}), Bytes: 1 << 30, CacheBytes: store.DefaultCacheBytes, Timeout: patience,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		return r, func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			closeBus(t, b)
		}
	}
	r, end := begin()
	for i := range reports {
		if _, err := r.Put(within(t), "shop", storetest.Key(i), storetest.Scan(i, 300)); err != nil {
			t.Fatal(err)
		}
	}
	bytes, _ := r.Bytes()
	end()
	var disk int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		disk += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r, end = begin()
	defer end()
	for deadline := began.Add(patience); r.Ready(t.Context()) != nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if _, n := r.Bytes(); n != reports {
		t.Fatalf("%d of %d reports are known after a restart", n, reports)
	}
	known := time.Since(began)
	for i := range reports {
		if scan, err := r.Get(within(t), storetest.Key(i)); err != nil || scan == nil || len(scan.Vulnerabilities) != 300 {
			t.Fatalf("report %d after a restart: %v, %v", i, scan, err)
		}
	}
	fmt.Printf("%d reports of 300 findings: %d bytes each on the disk, of which the store reckons with %d; known %s after a restart, read in %s each\n",
		reports, disk/reports, bytes/reports, known.Round(time.Millisecond), ((time.Since(began) - known) / reports).Round(10*time.Microsecond))
	if disk < bytes/2 || disk > 2*bytes {
		t.Errorf("%d bytes are on the disk, and the store reckons with %d", disk, bytes)
	}
}
