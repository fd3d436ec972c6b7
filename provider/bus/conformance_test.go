package bus_test

import (
	"testing"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bucket/buckettest"
	"github.com/imagegate/imagegate/provider/bus"
)

// conform runs the conformance suite on buckets of the buses.
func conform(t *testing.T, buses ...*bus.Bus) {
	buckettest.Run(t, func(t *testing.T) []bucket.Bucket {
		name := unique()
		var all []bucket.Bucket
		for _, b := range buses {
			all = append(all, bucketOf(t, b, name, bus.BucketOptions{MaxBytes: 64 << 20}))
		}
		return all
	})
}

func TestEmbedded(t *testing.T) {
	b, _ := open(t, bus.Options{DataDir: t.TempDir()})
	ready(t, b)
	figures(t, "embedded", b, 300)
	always, _ := open(t, bus.Options{DataDir: t.TempDir(), Sync: bus.SyncAlways})
	figures(t, "embedded, each write synced", always, 50)
	conform(t, b)
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	figures(t, "cluster of three, beside other tests", c.buses[0], 100)
	full(t, c.buses[0])
	conform(t, c.buses...)
}

func TestExternal(t *testing.T) {
	s := natsServer(t, t.TempDir(), -1, nil)
	var buses []*bus.Bus
	for range 2 {
		b, _ := open(t, external(s))
		buses = append(buses, b)
	}
	conform(t, buses...)
}
