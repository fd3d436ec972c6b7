package pullthrough

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/report"
)

// The outcomes of what a scanner asks for.
const (
	outcomeVerified = "verified"
	outcomeRefused  = "refused"
	outcomeFailed   = "failed"
)

type metrics struct {
	layers *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{layers: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imagegate_pull_through_layers_total",
		Help: "Layers asked for by foreign scanners: verified (and handed on), refused (not what was named), failed (not read).",
	}, []string{"outcome"})}
	for _, o := range []string{outcomeVerified, outcomeRefused, outcomeFailed} {
		m.layers.WithLabelValues(o)
	}
	if r == nil {
		return m, nil
	}
	return m, r.Register(m.layers)
}

func (m *metrics) count(err error) {
	outcome := outcomeFailed
	if f, ok := errors.AsType[*report.Failure](err); ok && (f.Reason == report.ReasonUnsupported || f.Reason == report.ReasonTooLarge) {
		outcome = outcomeRefused
	}
	m.layers.WithLabelValues(outcome).Inc()
}
