package scan

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/imagegate/imagegate/provider/report"
)

// failures remembers which manifests could not be scanned, by whose credential,
// and until when not to try again.
type failures struct {
	mu  sync.Mutex
	lru *simplelru.LRU[string, failed]
	o   *Options
}

type failed struct {
	failure *report.Failure
	// row counts failures without a success between.
	row   int
	until time.Time
}

func newFailures(o *Options) (*failures, error) {
	lru, err := simplelru.NewLRU[string, failed](o.Failures, nil)
	if err != nil {
		return nil, err
	}
	return &failures{lru: lru, o: o}, nil
}

// keyOf is whom a failure concerns: whoever asks for the image where it can only
// be the image's, else whoever opened it by the same credential.
func keyOf(t task, f *report.Failure) string {
	if f.OfImage() {
		return t.key()
	}
	return t.opened()
}

// get returns the failure that still stands for a task and when it ends.
func (f *failures) get(t task) (*report.Failure, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range []string{t.opened(), t.key()} {
		if e, ok := f.lru.Get(key); ok && f.o.Now().Before(e.until) {
			return e.failure, e.until
		}
	}
	return nil, time.Time{}
}

// add remembers a failure: a lasting one ever longer, any other shortly, so that
// it does not outlive its cause.
func (f *failures) add(t task, failure *report.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := keyOf(t, failure)
	e, _ := f.lru.Get(key)
	if e.failure != nil && e.failure.Lasting() != failure.Lasting() {
		e.row = 0
	}
	initial, most := f.o.TransientFor, max(f.o.TransientFor, f.o.FailureInitial)
	if failure.Lasting() {
		initial, most = f.o.FailureInitial, f.o.FailureMax
	}
	// Shifting stops well before it could overflow; most rules.
	wait := min(initial<<min(e.row, 16), most)
	// A registry that asks for a day is tried again sooner: it may be well by
	// then, and nothing but a restart would find out.
	e.until = f.o.Now().Add(max(wait, min(failure.RetryAfter, f.o.FailureMax)))
	e.row++
	// The log has had the cause; its text is the longest part.
	kept := *failure
	kept.Message, kept.Err = strings.Clone(report.CleanMessage(failure.Message)), nil
	e.failure = &kept
	f.lru.Add(key, e)
}

func (f *failures) remove(t task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lru.Remove(t.opened())
	f.lru.Remove(t.key())
}

// clear forgets all: what they failed by is another than it was.
func (f *failures) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lru.Purge()
}

const (
	// maxMessage bounds a failure's sentence, maxCause what is behind it: both
	// may quote what an image's author wrote, and are kept, logged and sent.
	maxMessage = 512
	maxCause   = 4096
)

// bounded returns the failure as text of a bounded size, so that it keeps
// nothing of what it came from in memory.
func bounded(f *report.Failure) *report.Failure {
	out := &report.Failure{Reason: f.Reason, Message: report.Clean(f.Message, maxMessage), RetryAfter: f.RetryAfter}
	if f.Err != nil {
		out.Err = errors.New(report.Clean(f.Err.Error(), maxCause))
	}
	return out
}

// cause returns what is behind a failure's sentence, for the log.
func cause(err error) slog.Value {
	under := errors.Unwrap(err)
	if under == nil {
		return slog.Value{}
	}
	return slog.StringValue(report.Clean(under.Error(), maxCause))
}
