package server

import (
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	keys     *prometheus.HistogramVec
	refused  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_requests_total", Help: "Protocol requests, by endpoint and result: ok or system_error.",
		}, []string{"endpoint", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "imagegate_request_duration_seconds", Help: "Time to answer a protocol request.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1, 2, 5, 10, 30},
		}, []string{"endpoint"}),
		keys: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "imagegate_request_items", Help: "Items in the answer to a protocol request.",
			Buckets: []float64{0, 1, 2, 5, 10, 25, 50, 100, 256},
		}, []string{"endpoint"}),
	}
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "imagegate_requests_unauthenticated_total", Help: "Protocol requests refused for want of a client certificate.",
	})
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.keys, m.refused} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(endpoint string, resp *externaldata.ProviderResponse, took time.Duration) {
	result := "ok"
	if resp.Response.SystemError != "" {
		result = "system_error"
	}
	m.requests.WithLabelValues(endpoint, result).Inc()
	m.duration.WithLabelValues(endpoint).Observe(took.Seconds())
	m.keys.WithLabelValues(endpoint).Observe(float64(len(resp.Response.Items)))
}
