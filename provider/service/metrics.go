package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/report"
)

// metrics has closed label sets only: statuses, failure reasons and cache
// outcomes. Image names never become labels.
type metrics struct {
	reports  *prometheus.CounterVec
	digests  *prometheus.CounterVec
	lookups  *prometheus.CounterVec
	scans    *prometheus.CounterVec
	retries  prometheus.Counter
	duration prometheus.Histogram
	running  prometheus.Gauge

	yielded   prometheus.Counter
	abandoned prometheus.Counter
	ages      prometheus.Histogram
	refreshes prometheus.Counter
	databases *prometheus.GaugeVec
}

const (
	resultOK     = "ok"
	resultFailed = "failed"
	lookupHit    = "hit"
	lookupMiss   = "miss"
	lookupFailed = "failed"
)

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_reports_total", Help: "Reports answered, by status.",
		}, []string{"status"}),
		digests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_digests_total", Help: "References pinned to their digest, by result: ok or failed.",
		}, []string{"result"}),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_report_lookups_total",
			Help: "Look-ups of a manifest's scan, by outcome: hit (stored), failed (a remembered failure), miss.",
		}, []string{"outcome"}),
		scans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_scans_total", Help: "Scans ended, by result: ok or the reason of the failure.",
		}, []string{"result"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "imagegate_scan_retries_total", Help: "Attempts of scans after the first.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "imagegate_scan_duration_seconds", Help: "Time from a worker taking a scan up to its end.",
			Buckets: []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imagegate_scans_running", Help: "Scans under way in this replica.",
		}),
	}
	m.yielded = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "imagegate_scans_yielded_total",
		Help: "Scans that went back to the queue: stopped for another namespace's turn, or behind another credential's scan of the same image.",
	})
	m.abandoned = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "imagegate_scans_abandoned_total", Help: "Scans given up because nobody asked for them any more.",
	})
	const hour = 3600
	m.ages = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "imagegate_report_age_seconds", Help: "Age of the scan behind a report that was answered from the store.",
		Buckets: []float64{60, 600, hour, 6 * hour, 12 * hour, 24 * hour, 48 * hour, 7 * 24 * hour, 30 * 24 * hour},
	})
	m.refreshes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "imagegate_scan_refreshes_total", Help: "Scans begun in the background to renew a stale one.",
	})
	m.databases = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "imagegate_scanner_database_built_timestamp_seconds",
		Help: "When the vulnerability database of each configured scanner was built; absent where the scanner does not tell.",
	}, []string{"scanner"})
	for _, c := range []prometheus.Collector{
		m.reports, m.digests, m.lookups, m.scans, m.retries, m.duration, m.running, m.yielded, m.abandoned, m.ages, m.refreshes, m.databases,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// depth registers what the queue holds, over all replicas: what workers are
// scaled by.
func (m *metrics) depth(r prometheus.Registerer, q *queue.Queue) error {
	for _, g := range []struct {
		name, help string
		value      func(queue.Depth) int
	}{
		{"imagegate_scans_queued", "Scans that wait for a worker, on all replicas together.", func(d queue.Depth) int { return d.Waiting }},
		{"imagegate_queue_running", "Scans under way, on all replicas together.", func(d queue.Depth) int { return d.Running }},
		{"imagegate_queue_slots", "Scans that all replicas together can have under way.", func(d queue.Depth) int { return d.Slots }},
	} {
		gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 { return float64(g.value(q.Depth())) })
		if err := r.Register(gauge); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) hit(age time.Duration) {
	m.lookups.WithLabelValues(lookupHit).Inc()
	m.ages.Observe(age.Seconds())
}

// generations replaces the databases' ages: the label is a configured scanner
// with its version, of which there are few, and an old version must go.
func (m *metrics) generations(known []backend.Generation) {
	m.databases.Reset()
	for _, g := range known {
		if !g.DatabaseBuiltAt.IsZero() {
			m.databases.WithLabelValues(g.Scanner).Set(float64(g.DatabaseBuiltAt.Unix()))
		}
	}
}

func (m *metrics) scanned(took time.Duration, failure *report.Failure) {
	result := resultOK
	if failure != nil {
		result = string(failure.Reason)
	}
	m.scans.WithLabelValues(result).Inc()
	m.duration.Observe(took.Seconds())
}
