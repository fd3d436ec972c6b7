package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/mutator/admit"
)

// metrics are the mutator's. All label values come from closed sets.
type metrics struct {
	admissions *prometheus.CounterVec
	duration   prometheus.Histogram
	images     *prometheus.CounterVec
	waits      *prometheus.CounterVec
	waited     prometheus.Histogram
	inFlight   prometheus.Gauge
	refused    prometheus.Counter
}

func newMetrics(r prometheus.Registerer, waiting func() int) *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "imagegate", Subsystem: "mutator", Name: name, Help: help}
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "imagegate", Subsystem: "mutator", Name: name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		admissions: prometheus.NewCounterVec(counter("admissions_total", "Admission requests by result."), []string{"result"}),
		duration: histogram("admission_duration_seconds", "Time to answer an admission request, waiting included.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30),
		images: prometheus.NewCounterVec(counter("images_total", "Images by what became of them."), []string{"result"}),
		waits:  prometheus.NewCounterVec(counter("waits_total", "Admissions by how waiting for their scans went."), []string{"result"}),
		waited: histogram("wait_duration_seconds", "Time that admissions waited for their scans.",
			.05, .1, .25, .5, 1, 2, 4, 8, 15, 30),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "imagegate", Subsystem: "mutator",
			Name: "requests_in_flight", Help: "Admission requests being answered."}),
		refused: prometheus.NewCounter(counter("refused_requests_total",
			"Requests answered with an HTTP error: no AdmissionReview, or too many at once.")),
	}
	for _, o := range admit.Outcomes() {
		m.admissions.WithLabelValues(string(o))
	}
	for _, result := range admit.WaitResults() {
		m.waits.WithLabelValues(string(result))
	}
	for _, result := range []string{"pinned", "left", "unresolved"} {
		m.images.WithLabelValues(result)
	}
	r.MustRegister(m.admissions, m.duration, m.images, m.waits, m.waited, m.inFlight, m.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "imagegate", Subsystem: "mutator",
			Name: "waiting", Help: "Admission requests that wait for their scans."},
			func() float64 { return float64(waiting()) }))
	return m
}

func (m *metrics) observe(d *admit.Decision, took time.Duration) {
	m.admissions.WithLabelValues(string(d.Outcome)).Inc()
	m.duration.Observe(took.Seconds())
	m.images.WithLabelValues("pinned").Add(float64(len(d.Changes)))
	m.images.WithLabelValues("unresolved").Add(float64(len(d.Unresolved)))
	m.images.WithLabelValues("left").Add(float64(d.Images - len(d.Changes) - len(d.Unresolved)))
	m.waits.WithLabelValues(string(d.Wait)).Inc()
	if d.Waited > 0 {
		m.waited.Observe(d.Waited.Seconds())
	}
}
