package scan

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/report"
)

// metrics has closed label sets only: statuses, failure reasons and cache
// outcomes. Image names never become labels.
type metrics struct {
	reports  *prometheus.CounterVec
	lookups  *prometheus.CounterVec
	scans    *prometheus.CounterVec
	retries  prometheus.Counter
	duration prometheus.Histogram
	running  prometheus.Gauge
	queued   prometheus.Gauge
}

const (
	resultOK     = "ok"
	lookupHit    = "hit"
	lookupMiss   = "miss"
	lookupFailed = "failed"
)

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_reports_total", Help: "Reports answered, by status.",
		}, []string{"status"}),
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
			Name: "imagegate_scans_running", Help: "Scans under way.",
		}),
		queued: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imagegate_scans_queued", Help: "Scans that wait for a worker.",
		}),
	}
	for _, c := range []prometheus.Collector{m.reports, m.lookups, m.scans, m.retries, m.duration, m.running, m.queued} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) scanned(took time.Duration, failure *report.Failure) {
	result := resultOK
	if failure != nil {
		result = string(failure.Reason)
	}
	m.scans.WithLabelValues(result).Inc()
	m.duration.Observe(took.Seconds())
}
