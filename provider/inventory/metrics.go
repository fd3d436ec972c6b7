package inventory

import "github.com/prometheus/client_golang/prometheus"

// registerMetrics has what the latest snapshot knows told when it is asked for.
// While it is Unknown nothing is counted: no Pods is not what it means.
func registerMetrics(r prometheus.Registerer, latest func() *Snapshot) error {
	return r.Register(collector{
		latest: latest,
		phase: prometheus.NewDesc("imagegate_inventory_phase",
			"1 for what the inventory is: unknown (nothing has been read yet), incomplete (more may run than it knows) or complete.", []string{"phase"}, nil),
		pods:         prometheus.NewDesc("imagegate_inventory_pods", "Pods that the inventory knows; no series while it is unknown.", nil, nil),
		leftOut:      prometheus.NewDesc("imagegate_inventory_left_out_pods", "Pods that are not in the inventory for want of room (inventory.maxPods), about.", nil, nil),
		images:       prometheus.NewDesc("imagegate_inventory_images", "Digests that run.", nil, nil),
		undetermined: prometheus.NewDesc("imagegate_inventory_undetermined_images", "Images in workloads whose digest nobody can tell.", nil, nil),
	})
}

type collector struct {
	latest                                     func() *Snapshot
	phase, pods, leftOut, images, undetermined *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.phase, c.pods, c.leftOut, c.images, c.undetermined} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.latest()
	for _, p := range Phases() {
		v := 0.0
		if s.state.Phase == p {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(c.phase, prometheus.GaugeValue, v, string(p))
	}
	if s.state.Phase == Unknown {
		return
	}
	for d, n := range map[*prometheus.Desc]int{
		c.pods: s.state.Pods, c.leftOut: s.state.LeftOut, c.images: len(s.images), c.undetermined: len(s.undetermined),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
}
