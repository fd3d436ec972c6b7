package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/wire"
)

// readyTimeout bounds the readiness checks, below the kubelet's usual patience.
const readyTimeout = 2 * time.Second

// Check is how one part is that requests depend on.
type Check struct {
	// Name is a word: certificate, store, scanner.
	Name string
	// Err says what is wrong, or is nil.
	Err error
	// Needed says that the process should get no requests while there is an Err.
	// Without, it is only told.
	Needed bool
}

// ProbeOptions configures what operates the process.
type ProbeOptions struct {
	// Ready says how the parts are.
	Ready func(ctx context.Context) []Check
	// Mark puts into the headers of /readyz what other processes read there; may be nil.
	Mark    func(http.Header)
	Logger  *slog.Logger
	Metrics *prometheus.Registry
}

// NewProbes returns the routes GET /healthz, /readyz, /metrics. The answer of
// /readyz has a line for each part.
func NewProbes(o ProbeOptions) http.Handler {
	r := chi.NewRouter()
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok") })
	r.Get("/readyz", o.readyz)
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	return r
}

func (o *ProbeOptions) readyz(w http.ResponseWriter, r *http.Request) {
	if o.Mark != nil {
		o.Mark(w.Header())
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	code, verdict := http.StatusOK, "ready"
	var lines strings.Builder
	for _, c := range o.Ready(ctx) {
		if c.Err == nil {
			_, _ = fmt.Fprintf(&lines, "\n%s: ok", c.Name) // it takes all
			continue
		}
		_, _ = fmt.Fprintf(&lines, "\n%s: %v", c.Name, c.Err)
		if c.Needed {
			code, verdict = http.StatusServiceUnavailable, "not ready"
		}
		level := slog.LevelDebug // it is said again with each probe, and a metric too
		if c.Needed {
			level = slog.LevelWarn
		}
		// What a failure's sentence leaves out is nowhere else to be read.
		o.Logger.Log(r.Context(), level, "a part is not ready", "part", c.Name, "error", c.Err, "cause", report.FailureOf(c.Err).Err)
	}
	writeText(w, code, verdict+lines.String())
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text) // a client that is gone needs no answer
}

// readyMetric has the results of the checks, made anew for each scrape.
type readyMetric struct {
	ready func(ctx context.Context) []Check
	desc  *prometheus.Desc
}

// NewReadyMetric returns the metric of the checks' results.
func NewReadyMetric(ready func(ctx context.Context) []Check) prometheus.Collector {
	return &readyMetric{ready: ready, desc: prometheus.NewDesc("imagegate_part_ready",
		"1 while the part works: certificate, store or scanner.", []string{"part"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *readyMetric) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *readyMetric) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	for _, c := range m.ready(ctx) {
		value := 0.0
		if c.Err == nil {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, value, c.Name)
	}
}

// NewStarting returns the routes of a process that cannot answer yet: probes,
// and a systemError to whoever asks about images.
func NewStarting(o ProbeOptions) http.Handler {
	r := chi.NewRouter()
	for _, path := range []string{wire.PathScanReports, wire.PathDigests} {
		r.Post(path, func(w http.ResponseWriter, r *http.Request) {
			wire.Drain(w, r, maxStartingBody)
			body, err := wire.Encode(starting())
			if err != nil {
				o.Logger.Error("encoding an answer", "error", err)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body) // a client that is gone needs no answer
		})
	}
	r.Mount("/", NewProbes(o))
	return r
}

// maxStartingBody is what is read of a question that cannot be answered yet.
const maxStartingBody = 1 << 20

func starting() *externaldata.ProviderResponse {
	return wire.SystemError("the provider is starting and has not read its store yet; try again shortly")
}
