package store

import "github.com/prometheus/client_golang/prometheus"

// Where a read of a report ended.
const (
	readMemory     = "memory"
	readBucket     = "bucket"
	readAbsent     = "absent"
	readUnreadable = "unreadable"
	readFailed     = "failed"
)

// Why a stored report says nothing.
const (
	unreadableNewer  = "newer"
	unreadableBroken = "broken"
)

// Why a report was removed.
const (
	removedRoom = "room"
	removedAge  = "age"
)

// reportMetrics counts by closed sets of labels.
type reportMetrics struct {
	reads, unreadable, removed map[string]prometheus.Counter
}

func newReportMetrics(registerer prometheus.Registerer, r *Reports) (*reportMetrics, error) {
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imagegate_store_reads_total",
		Help: "Reads of stored reports, by where they ended: memory, bucket, absent (there is none), unreadable, failed.",
	}, []string{"from"})
	unreadable := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imagegate_store_unreadable_total",
		Help: "Stored reports that were passed over: newer (written by a newer provider for newer ones) or broken.",
	}, []string{"reason"})
	removed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imagegate_store_removed_total",
		Help: "Reports that this replica removed, to make room or for their age.",
	}, []string{"reason"})
	m := &reportMetrics{
		reads:      labelled(reads, readMemory, readBucket, readAbsent, readUnreadable, readFailed),
		unreadable: labelled(unreadable, unreadableNewer, unreadableBroken),
		removed:    labelled(removed, removedRoom, removedAge),
	}
	if registerer == nil {
		return m, nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return value()
		})
	}
	for _, c := range []prometheus.Collector{
		reads, unreadable, removed,
		gauge("imagegate_store_reports", "Reports in the store.", func() float64 { return float64(len(r.index.records)) }),
		gauge("imagegate_store_bytes", "Bytes of the reports in the store, compressed.", func() float64 { return float64(r.index.bytes) }),
		gauge("imagegate_store_memory_bytes", "Bytes of the reports that are in memory.", func() float64 { return float64(r.cache.bytes()) }),
	} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func labelled(v *prometheus.CounterVec, labels ...string) map[string]prometheus.Counter {
	m := map[string]prometheus.Counter{}
	for _, l := range labels {
		m[l] = v.WithLabelValues(l)
	}
	return m
}
