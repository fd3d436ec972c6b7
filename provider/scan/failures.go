package scan

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/imagegate/imagegate/provider/report"
)

// failures remembers which manifests could not be scanned and until when not
// to try again.
type failures struct {
	mu  sync.Mutex
	lru *simplelru.LRU[string, failed]
	o   *Options
}

type failed struct {
	failure *report.Failure
	// row counts failures of the image itself without a success between.
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

// get returns the failure that still stands for a task's key and when it ends.
func (f *failures) get(key string) (*report.Failure, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.lru.Get(key)
	if !ok || !f.o.Now().Before(e.until) {
		return nil, time.Time{}
	}
	return e.failure, e.until
}

func (f *failures) add(key string, failure *report.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, _ := f.lru.Get(key)
	e.failure = failure
	wait := f.o.TransientFor
	if !failure.Transient() {
		// Shifting stops well before it could overflow; FailureMax rules.
		wait = min(f.o.FailureInitial<<min(e.row, 16), f.o.FailureMax)
		e.row++
	}
	// A registry that asks for a day is tried again sooner: it may be well by
	// then, and nothing but a restart would find out.
	e.until = f.o.Now().Add(max(wait, min(failure.RetryAfter, f.o.FailureMax)))
	f.lru.Add(key, e)
}

func (f *failures) remove(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lru.Remove(key)
}
