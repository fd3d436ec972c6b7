package verdict

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label part.
const (
	partExceptions = "exceptions"
	partVEX        = "vex"
)

// remindEvery is how often the end of an exception is logged.
const remindEvery = 24 * time.Hour

func newFailures() *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imagegate_verdict_reload_failures_total",
		Help: "Times that the exceptions file or the VEX documents became unusable.",
	}, []string{"part"})
	c.WithLabelValues(partExceptions)
	c.WithLabelValues(partVEX)
	return c
}

// The values of the label source.
const (
	sourceFiles    = "files"
	sourceAttached = "attached"
)

func newPowerless() *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imagegate_vex_statements_without_effect_total",
		Help: "OpenVEX statements read that can have no effect, by where they were: files, or attached to images.",
	}, []string{"source"})
	c.WithLabelValues(sourceFiles)
	c.WithLabelValues(sourceAttached)
	return c
}

func exceptionsDesc() *prometheus.Desc {
	return prometheus.NewDesc("imagegate_exceptions",
		"Exceptions by state: active, expiring (within 14 days; still in force) and expired.", []string{"state"}, nil)
}

func statementsDesc() *prometheus.Desc {
	return prometheus.NewDesc("imagegate_vex_statements", "OpenVEX statements loaded.", nil, nil)
}

func failingDesc() *prometheus.Desc {
	return prometheus.NewDesc("imagegate_verdict_reload_failing",
		"1 while the files cannot be used and older content stays in use.", []string{"part"}, nil)
}

// Describe implements prometheus.Collector.
func (j *Judge) Describe(ch chan<- *prometheus.Desc) {
	ch <- exceptionsDesc()
	ch <- statementsDesc()
	ch <- failingDesc()
	j.failures.Describe(ch)
	j.powerless.Describe(ch)
}

// Collect implements prometheus.Collector.
func (j *Judge) Collect(ch chan<- prometheus.Metric) {
	r := j.rules()
	states := map[string]int{stateActive: 0, stateExpiring: 0, stateExpired: 0}
	for _, e := range r.exceptions.all {
		states[e.state(r.at)]++
	}
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(exceptionsDesc(), prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(statementsDesc(), prometheus.GaugeValue, float64(countStatements(r.vex)))
	failing := func(part string, is bool) {
		var v float64
		if is {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(failingDesc(), prometheus.GaugeValue, v, part)
	}
	failing(partExceptions, j.exceptions != nil && j.exceptions.Failing())
	failing(partVEX, j.vex != nil && j.vex.Failing())
	j.failures.Collect(ch)
	j.powerless.Collect(ch)
}

// remind logs once a day each exception that has ended or soon will.
func (j *Judge) remind(ctx context.Context) {
	r := j.rules()
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := map[string]time.Time{}
	for _, e := range r.exceptions.all {
		state := e.state(r.at)
		if state == stateActive {
			continue
		}
		// An exception that ends is news even if its end was announced today.
		key := state + "|" + e.scope()
		last, ok := j.reminded[key]
		if !ok || r.at.Sub(last) >= remindEvery {
			j.log(ctx, state, e)
			last = r.at
		}
		kept[key] = last
	}
	j.reminded = kept
}

func (j *Judge) log(ctx context.Context, state string, e *exception) {
	message := "an exception ends soon"
	if state == stateExpired {
		message = "an exception has ended and does nothing; delete or renew it"
	}
	j.o.Logger.LogAttrs(ctx, slog.LevelWarn, message,
		slog.String("cve", e.cve), slog.Any("images", e.imageNames()), slog.String("expires", e.until), slog.String("reason", e.reason))
}
