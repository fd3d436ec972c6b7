package bus

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is that of the connection.
type State struct {
	// Place is where NATS is: its URLs, or what is embedded.
	Place     string
	Connected bool
	// Since is when Connected became what it is, Err why it is false.
	Since time.Time
	Err   error
}

// state is followed by the connection's handlers. It is a prometheus.Collector.
type state struct {
	place, kind string

	mu        sync.Mutex
	connected bool
	closing   bool
	since     time.Time
	err       error
	lost      uint64
	own       []prometheus.Collector
}

func newState(o *Options) *state {
	s := &state{since: time.Now(), err: errors.New("connecting")}
	switch {
	case o.External != nil:
		s.kind, s.place = "external", strings.Join(o.External.URLs, ",")
	case o.Cluster != nil:
		s.kind, s.place = "cluster", fmt.Sprintf("the embedded server %s of %d", o.Cluster.Name, len(o.Cluster.Peers))
	default:
		s.kind, s.place = "embedded", "the embedded server"
	}
	return s
}

func (s *state) get() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Place: s.place, Connected: s.connected, Since: s.since, Err: s.err}
}

// set notes what the connection is, and reports whether that is news.
func (s *state) set(connected bool, why error) (before time.Time, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return s.since, false
	}
	before, changed = s.since, connected != s.connected
	if changed {
		s.connected, s.since = connected, time.Now()
		if !connected {
			s.lost++
		}
	}
	switch {
	case connected:
		s.err = nil
	case why != nil:
		s.err = why
	case s.err == nil:
		s.err = errors.New("the connection ended")
	}
	return before, changed
}

func (s *state) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connected {
		s.since = time.Now()
	}
	s.connected, s.closing, s.err = false, true, errClosed
}

func (s *state) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range append([]prometheus.Collector{s}, s.own...) {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("metrics of NATS: %w", err)
		}
	}
	return nil
}

func (s *state) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range append([]prometheus.Collector{s}, s.own...) {
		r.Unregister(c)
	}
}

func (s *state) connectedDesc() *prometheus.Desc {
	return prometheus.NewDesc("imagegate_nats_connected", "1 while there is a connection to NATS.", nil, prometheus.Labels{"place": s.kind})
}

func (s *state) lostDesc() *prometheus.Desc {
	return prometheus.NewDesc("imagegate_nats_disconnects_total", "How often the connection to NATS was lost.", nil, prometheus.Labels{"place": s.kind})
}

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.connectedDesc()
	ch <- s.lostDesc()
}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	connected, lost := 0.0, float64(s.lost)
	if s.connected {
		connected = 1
	}
	s.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(s.connectedDesc(), prometheus.GaugeValue, connected)
	ch <- prometheus.MustNewConstMetric(s.lostDesc(), prometheus.CounterValue, lost)
}
