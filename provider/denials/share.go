package denials

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/pause"
)

// maxBroken is how many entries that cannot be read are complained of.
const maxBroken = 10

// Run shares what is seen with the other replicas until ctx ends. Then it writes,
// for a moment, what is not written yet. Its error is nil.
func (r *Record) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { bucket.Follow(ctx, r.o.Logger, "denials", r.o.Bucket, bucket.WatchOptions{}, r.see) })
	wg.Go(func() { r.keep(ctx) })
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	r.write(last, true)
	return nil
}

// see takes in what a replica wrote.
func (r *Record) see(e bucket.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case bucket.Reset:
		r.told, r.synced, r.unreadable = map[string]struct{}{}, false, map[string]struct{}{}
	case bucket.Wrote:
		if r.told != nil {
			r.told[e.Entry.Key] = struct{}{}
		}
		r.wrote(&e.Entry)
	case bucket.Deleted:
		if i := r.memory.items[e.Entry.Key]; i != nil && i.revision < e.Entry.Revision {
			r.gone(i)
		}
		delete(r.removals, e.Entry.Key)
		delete(r.unreadable, e.Entry.Key)
	case bucket.Synced:
		for key, i := range r.memory.items {
			if _, ok := r.told[key]; !ok && i.revision != 0 {
				r.gone(i)
			}
		}
		r.told, r.synced = nil, true
	}
}

// wrote takes in what is in the bucket, and reports whether it can be read: what a
// newer provider has written may not be.
func (r *Record) wrote(e *bucket.Entry) bool {
	entry, err := decode(e.Key, e.Value, r.now())
	delete(r.unreadable, e.Key)
	if err != nil {
		r.unreadable[e.Key] = struct{}{}
		if r.broken++; r.broken <= maxBroken {
			r.o.Logger.Warn("a denial in the store cannot be read and is passed over", "key", e.Key, "error", err)
		}
		return false
	}
	i := r.memory.items[e.Key]
	if i == nil {
		i = r.memory.add(e.Key)
	} else if e.Revision <= i.revision {
		return true
	}
	i.stored, i.revision = entry, e.Revision
	r.show(i)
	r.makeRoom()
	return true
}

// gone takes in that i is no longer in the bucket. What this replica alone knows of
// it stays.
func (r *Record) gone(i *item) {
	i.stored, i.revision = Entry{}, 0
	rest := merge(i.writing, i.delta)
	if rest.Count == 0 {
		r.memory.remove(i)
		return
	}
	r.show(i)
}

// keep writes what is to be written, and forgets what is too old.
func (r *Record) keep(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.more:
		case <-tick.C:
			r.forgetOld()
		case <-ctx.Done():
			return
		}
		if !r.write(ctx, false) && !pause.For(ctx, writePause+rand.N(writePause)) { //nolint:gosec // no secret
			return
		}
	}
}

// forgetOld drops what nobody has heard of for long.
func (r *Record) forgetOld() {
	before := r.now().Add(-r.o.KeepFor)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.memory.items {
		if i.shown.at().Before(before) {
			r.drop(i)
		}
	}
}

// write writes what is due, or all, and reports whether it could.
func (r *Record) write(ctx context.Context, all bool) bool {
	for {
		removals, due := r.due(all)
		for key, revision := range removals {
			if !r.remove(ctx, key, revision) {
				r.removeLater(removals)
				return false
			}
			delete(removals, key)
		}
		for _, i := range due {
			if !r.writeOne(ctx, i) {
				return false
			}
		}
		if all || len(removals)+len(due) == 0 {
			return true
		}
	}
}

// due is what is to be removed, and a part of each namespace's that is to be written.
func (r *Record) due(all bool) (removals map[string]uint64, due []*item) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	removals, r.removals = r.removals, map[string]uint64{}
	per := map[*account]int{}
	for i := range r.memory.dirty {
		if all || (i.urgent || now.Sub(i.wrote) >= writeEvery) && per[i.account] < perRound {
			per[i.account]++
			due = append(due, i)
		}
	}
	return removals, due
}

func (r *Record) remove(ctx context.Context, key string, revision uint64) bool {
	if r.pace.Wait(ctx) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := r.o.Bucket.Delete(ctx, key, revision)
	if err == nil || errors.Is(err, bucket.ErrChanged) {
		return true // the watch tells what is there now
	}
	r.complain(ctx, err)
	return false
}

// removeLater keeps what was not removed, where nothing newer is to be removed.
func (r *Record) removeLater(removals map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, revision := range removals {
		if _, newer := r.removals[key]; !newer {
			r.removals[key] = revision
		}
	}
}

// writeOne writes what this replica knows of i.
func (r *Record) writeOne(ctx context.Context, i *item) bool {
	if r.pace.Wait(ctx) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	r.mu.Lock()
	if _, dirty := r.memory.dirty[i]; !dirty {
		r.mu.Unlock()
		return true
	}
	delete(r.memory.dirty, i)
	i.writing, i.delta, i.urgent, i.wrote = i.delta, Entry{}, false, r.now()
	value, revision := merge(i.stored, i.writing), i.revision
	r.mu.Unlock()

	at, err := r.put(ctx, i.key, value, revision)

	r.mu.Lock()
	defer r.mu.Unlock()
	written := i.writing
	i.writing = Entry{}
	switch {
	case err == nil:
		if at > i.revision {
			i.stored, i.revision = value, at
		}
		if r.memory.items[i.key] != i { // it was dropped meanwhile
			r.removals[i.key] = at
			r.wake()
			return true
		}
	case r.memory.items[i.key] != i:
		return true
	default:
		i.delta = merge(written, i.delta)
		r.memory.dirty[i] = struct{}{}
	}
	r.show(i)
	switch {
	case errors.Is(err, bucket.ErrExists), errors.Is(err, bucket.ErrChanged):
		r.fetch(ctx, i) // another replica was faster
		return true
	case errors.Is(err, bucket.ErrFull):
		r.complain(ctx, err) // it is known here, and written when there is room
		return true
	case err != nil:
		i.urgent = true
		r.complain(ctx, err)
		return false
	}
	return true
}

func (r *Record) put(ctx context.Context, key string, value Entry, revision uint64) (uint64, error) {
	if revision == 0 {
		return r.o.Bucket.Create(ctx, key, value.encode())
	}
	return r.o.Bucket.Update(ctx, key, value.encode(), revision)
}

// fetch reads what another replica has written, so that it need not be waited for
// what the watch tells. r.mu is held, and given up meanwhile.
func (r *Record) fetch(ctx context.Context, i *item) {
	r.mu.Unlock()
	e, err := r.o.Bucket.Get(ctx, i.key)
	r.mu.Lock()
	if r.memory.items[i.key] != i {
		return
	}
	i.urgent = true
	switch {
	case err != nil:
		i.urgent = false // it is written with those whose number has changed
	case e == nil:
		r.gone(i)
	default:
		i.urgent = r.wrote(e)
	}
}

// complain logs that the bucket cannot be written, once in a while. Only keep and the
// end of Run come here, one after the other.
func (r *Record) complain(ctx context.Context, err error) {
	if now := r.now(); now.Sub(r.complained) >= complainEvery && !errors.Is(ctx.Err(), context.Canceled) {
		r.complained = now
		r.o.Logger.Warn("denials are not written to the store now; they are remembered by this replica, and tried again", "error", err)
	}
}
