package tlsfiles

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/filewatch"
)

// follower is a part of any type.
type follower interface {
	label() string
	paths() []string
	reload() (changed bool, err error)
	ready() error
	failing() bool
	expiry() (time.Time, bool)
}

// watcher keeps followers up to date and is embedded in Server and Client.
type watcher struct {
	parts []follower
	log   *slog.Logger
}

func newWatcher(log *slog.Logger, parts ...follower) watcher {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := watcher{parts: parts, log: log}
	w.reload()
	return w
}

// Ready is nil once everything that the configuration names has been loaded.
// A later broken file leaves it nil, for the last good one is in use.
func (w *watcher) Ready() error {
	errs := make([]error, len(w.parts))
	for i, p := range w.parts {
		errs[i] = p.ready()
	}
	return errors.Join(errs...)
}

// Start follows the files until ctx ends. Its error says that watching could
// not begin at all.
func (w *watcher) Start(ctx context.Context) error {
	var files []string
	for _, p := range w.parts {
		files = append(files, p.paths()...)
	}
	return filewatch.Follow(ctx, w.log, files, w.reload)
}

func (w *watcher) reload() {
	for _, p := range w.parts {
		changed, err := p.reload()
		switch {
		case err != nil && p.ready() == nil:
			w.log.Error("cannot reload TLS files; the ones loaded before stay in use", "error", err)
		case err != nil:
			w.log.Error("cannot load TLS files", "error", err)
		case changed:
			expires, _ := p.expiry()
			w.log.Info("loaded TLS files", "part", p.label(), "files", p.paths(), "expires", expires)
		}
	}
}

// The descriptors of the metrics below, by side ("server", "client").
func expiryDesc(side string) *prometheus.Desc {
	return prometheus.NewDesc("imagegate_tls_expiry_timestamp_seconds",
		"When the certificate, or the first one of the CA bundle, stops being valid (Unix time).",
		[]string{"part"}, prometheus.Labels{"side": side})
}

func failingDesc(side string) *prometheus.Desc {
	return prometheus.NewDesc("imagegate_tls_reload_failing",
		"1 while the files cannot be used and older content stays in use.",
		[]string{"part"}, prometheus.Labels{"side": side})
}

func (w *watcher) describe(side string, ch chan<- *prometheus.Desc) {
	ch <- expiryDesc(side)
	ch <- failingDesc(side)
}

func (w *watcher) collect(side string, ch chan<- prometheus.Metric) {
	for _, p := range w.parts {
		if expires, ok := p.expiry(); ok {
			ch <- prometheus.MustNewConstMetric(expiryDesc(side), prometheus.GaugeValue, float64(expires.Unix()), p.label())
		}
		var failing float64
		if p.failing() {
			failing = 1
		}
		ch <- prometheus.MustNewConstMetric(failingDesc(side), prometheus.GaugeValue, failing, p.label())
	}
}
