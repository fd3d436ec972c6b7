package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/pause"
)

// All replicas see that there is too much, and any may make room: each waits
// before it looks again, and whoever comes first does it for the others.
const (
	roomWait = 5 * time.Second
	// roomShare is the part of the bound that is made free: a tenth.
	roomShare = 10
	// removeTimeout bounds the removal of one report.
	removeTimeout = 5 * time.Second
	// roomTimeout bounds the room that is made for one report.
	roomTimeout = 3 * time.Second
)

// Ages are looked at rarely, and a report goes when it was found to be too old
// twice in a row: a clock that jumps back soon does no harm.
const (
	ageEvery = time.Hour
	// maxAged bounds what goes in one round.
	maxAged = 2000
)

// crowd wakes who makes room when there is too much. r.mu is held.
func (r *Reports) crowd() {
	if r.index.bytes <= r.o.Bytes {
		return
	}
	select {
	case r.crowded <- struct{}{}:
	default:
	}
}

// keepRoom keeps the bucket within its bytes.
func (r *Reports) keepRoom(ctx context.Context) {
	for {
		select {
		case <-r.crowded:
		case <-ctx.Done():
			return
		}
		if !pause.For(ctx, rand.N(roomWait)) { //nolint:gosec // no secret, a pause
			return
		}
		if bytes, _ := r.Bytes(); bytes <= r.o.Bytes {
			continue
		}
		if err := r.shrink(ctx, r.o.Bytes-r.o.Bytes/roomShare); err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("the report store holds more than store.bytes, and nothing could be removed", "error", err)
			if !pause.For(ctx, roomWait) {
				return
			}
			r.mu.Lock()
			r.crowd()
			r.mu.Unlock()
		}
	}
}

// makeRoom removes what is used least when the bucket, which held before bytes,
// is full below the bound: a tenth of all, or what is needed. What others have
// removed since counts, so that many who find it full do not remove it all.
func (r *Reports) makeRoom(ctx context.Context, before, need int64) error {
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	err := r.shrink(ctx, before-max(before/roomShare, need+recordOverhead))
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil // some is free
	}
	return err
}

// shrink removes reports until all together are most bytes.
func (r *Reports) shrink(ctx context.Context, most int64) error {
	for ctx.Err() == nil {
		key, revision := r.victim(most)
		if key == "" {
			return nil
		}
		if err := r.remove(ctx, key, revision, r.metrics.removed[removedRoom]); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// victim is the next report to go until all together are most bytes, or none.
func (r *Reports) victim(most int64) (key string, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.index.bytes <= most {
		return "", 0
	}
	rec := r.index.victim()
	if rec == nil {
		return "", 0
	}
	return rec.key, rec.revision
}

// remove removes a report that is at the revision.
func (r *Reports) remove(ctx context.Context, key string, revision uint64, counter prometheus.Counter) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	err := r.o.Bucket.Delete(ctx, key, revision)
	changed := errors.Is(err, bucket.ErrChanged)
	if err != nil && !changed {
		return fmt.Errorf("removing the report %s: %w", key, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.index.records[key]
	if rec == nil || rec.revision != revision {
		return nil // the watch was faster
	}
	if changed {
		r.index.touch(rec) // the watch will tell; until then it is another's turn
		rec.aged = false
		return nil
	}
	counter.Inc()
	r.index.remove(rec)
	r.cache.remove(key)
	return nil
}

// dropOld removes what was written longer ago than KeepFor.
func (r *Reports) dropOld(ctx context.Context) {
	for pause.For(ctx, ageEvery+rand.N(ageEvery/roomShare)) { //nolint:gosec // no secret, a pause
		for _, old := range r.tooOld(time.Now()) {
			if err := r.remove(ctx, old.key, old.revision, r.metrics.removed[removedAge]); err != nil {
				r.o.Logger.Warn("a report that is too old could not be removed", "error", err)
				break
			}
		}
	}
}

// tooOld returns what is too old for the second time in a row.
func (r *Reports) tooOld(now time.Time) (old []record) {
	before := now.Add(-r.o.KeepFor).Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	for rec := range r.index.all() {
		aged := rec.written < before
		if aged && rec.aged && len(old) < maxAged {
			old = append(old, record{key: rec.key, revision: rec.revision})
		}
		rec.aged = aged
	}
	return old
}
