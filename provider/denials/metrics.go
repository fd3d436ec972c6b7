package denials

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/report"
)

const stateResolved = "resolved"

// states are what an Entry is counted as, a closed set.
func states() []string {
	return []string{string(report.Rejected), string(report.ScanFailed), string(report.NotAvailable), stateResolved}
}

type metrics struct {
	forgotten prometheus.Counter
}

func newMetrics(r prometheus.Registerer, count func() map[string]int) (*metrics, error) {
	m := &metrics{forgotten: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "imagegate_denials_forgotten_total", Help: "Denials that this replica forgot for want of room (inventory.denials.bytes).",
	})}
	for _, c := range []prometheus.Collector{m.forgotten, counts{count, prometheus.NewDesc("imagegate_denials",
		"Images that owners of Pods were not let in with and that are remembered, by the last answer: rejected, scan_failed, report_not_available, or resolved.",
		[]string{"state"}, nil)}} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

type counts struct {
	count func() map[string]int
	desc  *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c counts) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c counts) Collect(ch chan<- prometheus.Metric) {
	for state, n := range c.count() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), state)
	}
}
