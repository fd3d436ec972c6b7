package attached

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend/attached/signature"
	"github.com/imagegate/imagegate/provider/filewatch"
)

// outcome is what became of one attachment. The set is closed: it labels a
// metric.
type outcome string

const (
	// used: the report that stood in for a scan, or a VEX document.
	used outcome = "used"
	// unsigned: no signature, or a bare document in place of an envelope.
	unsigned outcome = "unsigned"
	// badSignature: no signature is of a configured key.
	badSignature outcome = "bad_signature"
	// wrongSubject: signed, about something else.
	wrongSubject outcome = "wrong_subject"
	// otherManifest: a report about the index that does not show that it looked
	// at the image's manifest, or one that looked at another platform.
	otherManifest outcome = "other_manifest"
	// incomplete: a report that does not show what was looked at, or that it was
	// enough.
	incomplete outcome = "incomplete"
	// unsupported: of a kind that is not read.
	unsupported outcome = "unsupported"
	// malformed: cannot be read, or is dated in the future.
	malformed outcome = "malformed"
	// tooLarge: over Options.MaxBytes.
	tooLarge outcome = "too_large"
	// stale: over Options.MaxAge, or there is a newer one.
	stale outcome = "stale"
	// unwanted: a report, where the scanner judges by a policy of its own.
	unwanted outcome = "unwanted"
)

func outcomes() []outcome {
	return []outcome{used, unsigned, badSignature, wrongSubject, otherManifest, incomplete, unsupported, malformed, tooLarge, stale, unwanted}
}

// Results of look-ups.
const (
	lookupFound  = "found"
	lookupNone   = "none"
	lookupFailed = "failed"
)

type metrics struct {
	attachments *prometheus.CounterVec
	lookups     *prometheus.CounterVec
	keysFailing prometheus.Gauge
}

// observeKeys says whether the files of keys can be used.
func (m *metrics) observeKeys(keys *filewatch.Content[signature.Keys]) {
	m.keysFailing.Set(0)
	if keys.Failing() {
		m.keysFailing.Set(1)
	}
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		attachments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_attached_reports_total",
			Help: "Attachments of images looked at, by what became of them.",
		}, []string{"outcome"}),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_attached_lookups_total",
			Help: "Look-ups of images' attachments, by result: found (a report was used), none, failed (the image was scanned).",
		}, []string{"result"}),
	}
	m.keysFailing = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "imagegate_attached_keys_reload_failing",
		Help: "1 while the files of keys cannot be used and those read before stay in use.",
	})
	for _, o := range outcomes() {
		m.attachments.WithLabelValues(string(o))
	}
	for _, l := range []string{lookupFound, lookupNone, lookupFailed} {
		m.lookups.WithLabelValues(l)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.attachments, m.lookups, m.keysFailing} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
