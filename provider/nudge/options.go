package nudge

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure a Nudger. All but Kubeconfig are required.
type Options struct {
	// Kubeconfig says how to reach the API server; empty within the cluster.
	Kubeconfig string
	// PerSecond bounds the requests to the API server, with bursts of as many.
	PerSecond  int
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (o *Options) check() error {
	switch {
	case o.PerSecond <= 0:
		return errors.New("nudge option PerSecond must be greater than zero")
	case o.Logger == nil || o.Registerer == nil:
		return errors.New("nudge option Logger or Registerer is missing")
	}
	return nil
}

const (
	// Annotation is what an owner gets, with the time in RFC 3339.
	Annotation = "imagegate.dev/scanned-at"
	// fieldManager is who owns the annotation by the API server's account.
	fieldManager = "imagegate"
	userAgent    = "imagegate"

	// interval is at least between two nudges of an owner.
	interval = 5 * time.Second
	// patience is how long after the first end an owner is nudged although it
	// waits for something else.
	patience = 5 * time.Second
	// lifetime is how long an owner is remembered that does not ask again. A
	// controller's longest pause is 1000 s.
	lifetime = time.Hour
	// sweepEvery is how often the memory is cleared of what is over.
	sweepEvery = time.Minute

	// workers bounds the requests under way, attempts those of one nudge.
	workers  = 4
	attempts = 5
	// retryInitial and retryMax bound the growing pause between attempts.
	retryInitial = 500 * time.Millisecond
	retryMax     = 8 * time.Second

	// maxOwners and maxBytes bound what is remembered, maxKeys how many keys of one
	// owner: one that waits for more is nudged when the first of them are over.
	maxOwners = 10000
	maxBytes  = 16 << 20
	maxKeys   = 64
	// ownerOverhead and keyOverhead are about what an owner and one of its keys
	// take beside their texts.
	ownerOverhead = 640
	keyOverhead   = 256
)
