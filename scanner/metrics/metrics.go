// Package metrics is what the worker tells Prometheus about its scans and its
// vulnerability database.
package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/jobs"
	"github.com/imagegate/imagegate/scanner/version"
)

const prefix = "imagegate_worker_"

// done is the result of a scan that made a report; others have their failure's
// code.
const done = "ok"

// Source is what is looked at when somebody asks.
type Source interface {
	// Waiting is how many scans have not started.
	Waiting() int
	// DatabaseBuiltAt is when the vulnerability data was put together; false
	// when there is none.
	DatabaseBuiltAt() (time.Time, bool)
}

// Metrics counts scans.
type Metrics struct {
	registry *prometheus.Registry
	running  prometheus.Gauge
	scans    *prometheus.CounterVec
	duration prometheus.Histogram
}

// New makes metrics in a registry of their own. Every result that a scan can
// have is there from the start, at zero: a rate needs a value before the first
// event.
func New(source Source) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "running_scans", Help: "Scans that run now."}),
		scans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "scans_total", Help: "Scans that ended: ok, or the code of their failure.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "scan_duration_seconds", Help: "How long scans took, waiting not counted.",
			Buckets: []float64{0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}),
	}
	m.scans.WithLabelValues(done)
	for _, code := range failure.Codes() {
		m.scans.WithLabelValues(string(code))
	}
	queued := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "queued_scans", Help: "Scans that wait."},
		func() float64 { return float64(source.Waiting()) })
	built := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "database_built_timestamp_seconds", Help: "When the vulnerability database in use was put together, in seconds since 1970; 0 without one.",
	}, func() float64 {
		at, ok := source.DatabaseBuiltAt()
		if !ok {
			return 0
		}
		return float64(at.Unix())
	})
	m.registry.MustRegister(version.Of("scanner").Metric(), m.running, m.scans, m.duration, queued, built)
	return m
}

// Observe returns a scan that is counted.
func (m *Metrics) Observe(scan jobs.Scan) jobs.Scan {
	return func(ctx context.Context, req harbor.ScanRequest) ([]byte, error) {
		start := time.Now()
		m.running.Inc()
		defer m.running.Dec()
		report, err := scan(ctx, req)
		m.duration.Observe(time.Since(start).Seconds())
		m.scans.WithLabelValues(result(err)).Inc()
		return report, err
	}
}

func result(err error) string {
	if err == nil {
		return done
	}
	return string(failure.Of(err).Code)
}

// Handler answers in Prometheus's formats.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
