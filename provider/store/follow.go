package store

import (
	"context"
	"sync"

	"github.com/imagegate/imagegate/provider/bucket"
)

// Run follows the bucket, reads what others have finished before it is asked
// for, makes room, and forgets what is too old. It returns when ctx has ended and
// nothing of that goes on; its error is nil.
func (r *Reports) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() {
		bucket.Follow(ctx, r.o.Logger, "reports", r.o.Bucket, bucket.WatchOptions{WithoutValues: true}, r.see)
	})
	for range ahead {
		wg.Go(func() { r.readAhead(ctx) })
	}
	wg.Go(func() { r.keepRoom(ctx) })
	if r.o.KeepFor > 0 {
		wg.Go(func() { r.dropOld(ctx) })
	}
	if r.o.Reads != nil {
		t := newTeller(r)
		wg.Go(func() { bucket.Follow(ctx, r.o.Logger, "readings", r.o.Reads, bucket.WatchOptions{}, t.see) })
		wg.Go(func() { t.run(ctx) })
	}
	wg.Wait()
	return nil
}

// see takes one change of the bucket in.
func (r *Reports) see(e bucket.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case bucket.Reset:
		// What is in memory goes on being answered until it is told what is gone.
		r.index.begin()
		r.synced, r.seen = false, 0
	case bucket.Wrote:
		r.seen = max(r.seen, e.Entry.Revision)
		r.wrote(&e.Entry)
	case bucket.Deleted:
		r.seen = max(r.seen, e.Entry.Revision)
		r.deleted(&e.Entry)
	case bucket.Synced:
		r.synced = true
		for _, key := range r.index.settle() {
			r.cache.remove(key)
		}
		for key := range r.waiting {
			r.ring(key)
		}
		r.change()
		r.crowd()
	}
}

func (r *Reports) wrote(e *bucket.Entry) {
	key := e.Key
	if r.index.wrote(key, e.Meta[ownerMeta], e.Revision, e.Size, e.Written) {
		r.cache.remove(key)
		r.crowd()
		if r.synced && !r.o.Unasked && r.writing[key] == nil {
			select {
			case r.arrived <- key:
			default: // it is read when it is asked for
			}
		}
	}
	r.ring(key)
}

func (r *Reports) deleted(e *bucket.Entry) {
	if w := r.writing[e.Key]; w != nil {
		w.deleted = max(w.deleted, e.Revision)
	}
	if rec := r.index.records[e.Key]; rec != nil && (rec.revision < e.Revision || rec.round != r.index.round) {
		r.index.remove(rec)
		r.cache.remove(e.Key)
	}
	r.ring(e.Key)
}

// readAhead brings what others have finished into memory, so that those who have
// waited for it, and come back, do not have to wait for the bucket.
func (r *Reports) readAhead(ctx context.Context) {
	for {
		select {
		case key := <-r.arrived:
			if at, ok := r.missing(key); ok {
				if _, err := r.read(ctx, key, at); err != nil {
					r.o.Logger.Debug("a new report was not read ahead", "key", key, "error", err)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// missing returns the revision of a report that is not in memory.
func (r *Reports) missing(key string) (at uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.index.records[key]
	if rec == nil || rec.bad {
		return 0, false
	}
	e, ok := r.cache.get(key)
	return rec.revision, !ok || e.revision != rec.revision
}
