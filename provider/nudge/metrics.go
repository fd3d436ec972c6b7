package nudge

import "github.com/prometheus/client_golang/prometheus"

// result is what became of a nudge. The set is closed: it labels a metric.
type result string

const (
	// resultOK: the owner was annotated.
	resultOK result = "ok"
	// resultGone: there is no such object any more, or never was.
	resultGone result = "gone"
	// resultForbidden: the API server does not allow it.
	resultForbidden result = "forbidden"
	// resultFailed: it was tried enough.
	resultFailed result = "failed"
	// resultDropped: the owner was forgotten, for want of room or after an hour.
	resultDropped result = "dropped"
)

func results() []result {
	return []result{resultOK, resultGone, resultForbidden, resultFailed, resultDropped}
}

type metrics struct {
	nudges *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, remembered func() int) (*metrics, error) {
	m := &metrics{nudges: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imagegate_nudges_total",
		Help: "Controllers told that what their Pods wait for is scanned, by result: ok, gone, forbidden (see RBAC), failed, or dropped for want of room or after an hour.",
	}, []string{"result"})}
	for _, result := range results() {
		m.add(result, 0)
	}
	owners := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "imagegate_nudge_owners", Help: "Controllers that are remembered because their Pods wait for scans.",
	}, func() float64 { return float64(remembered()) })
	for _, c := range []prometheus.Collector{m.nudges, owners} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) add(r result, n int) { m.nudges.WithLabelValues(string(r)).Add(float64(n)) }
