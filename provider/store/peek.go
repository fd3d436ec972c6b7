package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/imagegate/imagegate/provider/report"
)

// errUnreadable says that a report is there and is none that this provider can read: it
// is damaged, or a newer provider's.
var errUnreadable = errors.New("it cannot be read")

// Stored is a report of which is known without reading it.
type Stored struct {
	Key string
	// Revision is another after each write.
	Revision uint64
}

// All returns what is stored, in no order, what cannot be read too, and whether that is
// all there is: until the bucket has told what it holds it is what has been heard of.
func (r *Reports) All() (all []Stored, complete bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all = make([]Stored, 0, len(r.index.records))
	for _, rec := range r.index.records {
		all = append(all, Stored{rec.key, rec.revision})
	}
	return all, r.synced
}

// Changed is closed at the next change of what is stored.
func (r *Reports) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// change tells of one. r.mu is held.
func (r *Reports) change() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Peek is Get for who looks through all reports: it is no use of the report, so that it
// keeps none from being forgotten, and takes no place in memory from those in use. It is
// nil for one that is gone. One that is there and cannot be read is an error: for Get it
// is as good as none, since the image is scanned anew, but who looks through all must not
// leave it out in silence.
func (r *Reports) Peek(ctx context.Context, key string) (scan *report.Scan, err error) {
	defer report.Recover(&err)
	r.mu.Lock()
	rec := r.index.records[key]
	if rec == nil {
		r.mu.Unlock()
		return nil, nil
	}
	if rec.bad {
		r.mu.Unlock()
		return nil, fmt.Errorf("report %s: %w", key, errUnreadable)
	}
	if e, ok := r.cache.peek(key); ok && e.revision == rec.revision {
		r.mu.Unlock()
		return e.scan, nil
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	e, err := r.o.Bucket.Get(ctx, key)
	if err != nil {
		return nil, unreachable(err)
	}
	if e == nil {
		return nil, nil
	}
	scan, _, err = r.codec.decode(key, e.Value)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w: %w", key, errUnreadable, err)
	}
	return scan, nil
}
