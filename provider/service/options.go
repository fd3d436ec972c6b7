package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/report"
)

// Options configures a Service. All durations and counts must be positive.
type Options struct {
	Registry Registry
	Scanner  Scanner
	Store    Store
	Tags     Tags
	Judge    Judge
	// Nudger is told who was told to wait, and when that is over; nil tells nobody.
	Nudger Nudger
	// Denials is told what was not let in; nil tells nobody.
	Denials Denials

	// Shared is what all replicas know; the zero value: there is one.
	Shared Shared

	// Workers bounds the scans under way at once here, PerRegistry those of images
	// of one registry among them; zero workers: this replica only asks. Queue
	// bounds those that wait for a worker, on all replicas together. Package queue
	// shares all of them by namespace and registry.
	Workers     int
	PerRegistry int
	Queue       int
	// Deadline bounds one scan, retries and the pauses between them included,
	// from the moment a worker takes it up.
	Deadline time.Duration
	// YieldAfter is how long a scan may run although its namespace holds more than
	// an equal share of the turns while others wait for one; after it, the scan is
	// stopped and begun again later. It is also how long a scan waits for one of
	// the same image that another credential opened.
	YieldAfter time.Duration
	// AbandonAfter is how long a scan goes on that nobody asks for any more,
	// waiting or under way.
	AbandonAfter time.Duration
	// Grace is how long Close lets scans under way go on before it hands them
	// back to the queue; zero: not at all.
	Grace time.Duration
	// Attempts bounds how often one scan is tried when it fails for a reason
	// that may pass, or its process with it.
	Attempts int
	// RetryInitial and RetryMax bound the growing pause between attempts.
	RetryInitial time.Duration
	RetryMax     time.Duration

	// TransientFor is how long a failure that may pass (a scanner or registry
	// that is down, credentials, a timeout) is answered from memory before the
	// next ask tries again; it doubles with each one in a row, up to
	// FailureInitial. A change of the scanners' generation ends all of them.
	TransientFor time.Duration
	// FailureInitial is the same for a failure that lasts (no such image, a
	// broken one, one that is too large); it doubles up to FailureMax, so that
	// such an image is not scanned for ever. FailureMax also bounds how long a
	// registry or scanner may ask to be left alone.
	FailureInitial time.Duration
	FailureMax     time.Duration
	// Failures bounds how many failed digests are remembered.
	Failures int

	// RefreshAfter is the age from which a scan is made again in the background
	// while it is still served; zero: only when its scanner has new data.
	RefreshAfter time.Duration
	// MaxAge is the age, from when it was made, at which a scan no longer counts;
	// zero: never.
	MaxAge time.Duration
	// RefreshesPerMinute and Refreshers bound the scans made again: how many are
	// begun, and how many run at once.
	RefreshesPerMinute int
	Refreshers         int
	// Generations says what the scanners of this replica are based on now, asked
	// every GenerationEvery; nil when they cannot tell, or there is none: the other
	// replicas tell of theirs. The list counts although there
	// is an error beside it; a zero entry is a scanner that has never told.
	Generations     func(ctx context.Context) ([]backend.Generation, error)
	GenerationEvery time.Duration

	// Trusts says whether a scan still counts that is made of what others signed:
	// one whose keys are no longer configured is made again before anything is
	// answered from it; nil trusts all.
	Trusts func(scan *report.Scan) bool

	// Seen is told of each image that was answered about, whose manifests are known; it
	// must not block. Nil: nobody is.
	Seen func(Image)

	// FindingsBytes bounds a report in the findings and full views.
	FindingsBytes int
	// AnswerBytes bounds all reports of one call together, in whatever views.
	AnswerBytes int

	// Causes has failures say what otherwise only the log does. It is for who asks on
	// the machine itself: a Pod's author must not find out what listens where.
	Causes bool

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Shared is what replicas have in common. Without it they would scan each for
// itself, and forget all when they end.
type Shared struct {
	// Queue and Failures are kept for all; nil: in this process.
	Queue, Failures bucket.Bucket
	// Replica names this one, for good.
	Replica string
}

func (s *Shared) complete() {
	if s.Queue == nil {
		s.Queue = bucket.NewMemory()
	}
	if s.Failures == nil {
		s.Failures = bucket.NewMemory()
	}
	if s.Replica == "" {
		s.Replica = "only"
	}
}

func (o *Options) check() error {
	var errs []error
	for name, ok := range map[string]bool{
		"Registry":      o.Registry != nil,
		"Scanner":       o.Scanner != nil,
		"Store":         o.Store != nil,
		"Tags":          o.Tags != nil,
		"Judge":         o.Judge != nil,
		"Logger":        o.Logger != nil,
		"Registerer":    o.Registerer != nil,
		"Workers":       o.Workers >= 0,
		"PerRegistry":   o.PerRegistry > 0 || o.Workers == 0,
		"Grace":         o.Grace >= 0,
		"Queue":         o.Queue > 0,
		"Deadline":      o.Deadline > 0,
		"YieldAfter":    o.YieldAfter > 0,
		"AbandonAfter":  o.AbandonAfter > 0,
		"Attempts":      o.Attempts > 0,
		"Retry":         o.RetryInitial > 0 && o.RetryMax >= o.RetryInitial,
		"Failure":       o.TransientFor > 0 && o.FailureInitial > 0 && o.FailureMax >= o.FailureInitial,
		"Failures":      o.Failures > 0,
		"Ages":          o.RefreshAfter >= 0 && o.MaxAge >= 0 && (o.MaxAge == 0 || o.RefreshAfter < o.MaxAge),
		"Refreshes":     o.RefreshesPerMinute > 0 && o.Refreshers > 0,
		"Generations":   o.Generations == nil || o.GenerationEvery > 0,
		"FindingsBytes": o.FindingsBytes > 0,
		"AnswerBytes":   o.AnswerBytes > 0,
	} {
		if !ok {
			errs = append(errs, errors.New("scan option "+name+" is missing or out of range"))
		}
	}
	return errors.Join(errs...)
}
