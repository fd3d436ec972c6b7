package view

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/inventory"
)

// countedFor is how long what was counted is told again: metrics may be read by anybody,
// and to count is to look at all that runs.
const countedFor = 5 * time.Second

// runningMetric counts what runs by its verdict, when metrics are read.
type runningMetric struct {
	count func() map[string]int
	now   func() time.Time
	desc  *prometheus.Desc

	mu     sync.Mutex
	at     time.Time
	counts map[string]int
}

func (v *View) registerMetrics(r prometheus.Registerer) error {
	if r == nil || v.o.Inventory == nil {
		return nil
	}
	m := &runningMetric{count: v.countRunning, now: v.now, desc: prometheus.NewDesc("imagegate_running_images",
		"Images in workloads, by what a Pod of the same namespace would be told of them now; unknown: nobody can say. No series while it is not known what runs.", []string{"status"}, nil)}
	if err := r.Register(m); err != nil {
		return fmt.Errorf("registering the metric of what runs: %w", err)
	}
	return nil
}

// countRunning is nil while it is not known what runs.
func (v *View) countRunning() map[string]int {
	s := v.o.Inventory.Snapshot()
	if s.State().Phase == inventory.Unknown {
		return nil
	}
	counts := map[string]int{notKnown: 0}
	for _, status := range statuses() {
		counts[status] = 0
	}
	at := v.verdicts()
	for _, n := range s.Namespaces() {
		for _, p := range n.Places {
			u := useOf(p, at)
			counts[u.verdict()]++
		}
	}
	return counts
}

// Describe implements prometheus.Collector.
func (m *runningMetric) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *runningMetric) Collect(ch chan<- prometheus.Metric) {
	for status, n := range m.latest() {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(n), status)
	}
}

func (m *runningMetric) latest() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); m.at.IsZero() || now.Sub(m.at) >= countedFor || now.Before(m.at) {
		m.counts, m.at = m.count(), now
	}
	return maps.Clone(m.counts)
}
