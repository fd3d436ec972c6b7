package denials

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/bucket"
)

// Options configure a Record. All are required.
type Options struct {
	// Bucket is what the replicas share. Nothing else is in it.
	Bucket bucket.Bucket
	// Bytes bounds what is remembered, about, in memory and as much in the bucket.
	Bytes int
	// KeepFor is how long an Entry is remembered after its last attempt.
	KeepFor    time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (o *Options) check() error {
	switch {
	case o.Bucket == nil:
		return errors.New("denials option Bucket is missing")
	case o.Bytes <= 0 || o.KeepFor <= 0:
		return errors.New("denials option Bytes or KeepFor must be greater than zero")
	case o.Logger == nil || o.Registerer == nil:
		return errors.New("denials option Logger or Registerer is missing")
	}
	return nil
}

var errKey = errors.New("it is not what its key says")

const (
	// writeEvery is how often an Entry is written of which only the number of
	// attempts has changed.
	writeEvery   = time.Minute
	writeTimeout = 5 * time.Second
	// writePause is that after a write that failed, lookEvery how often it is
	// looked for what is to be written or is too old.
	writePause = 2 * time.Second
	lookEvery  = 10 * time.Second
	// complainEvery is at least between two lines of the log about the bucket.
	complainEvery = time.Minute
	// writesPerSecond bounds the writes and removals: what was removed takes room in
	// the bucket for a while.
	writesPerSecond = 50
	// perRound is how much of one namespace is written before others have a turn.
	perRound = 16
)
