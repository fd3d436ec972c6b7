package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/fnv"
	"maps"
	rnd "math/rand/v2"
	"slices"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
)

// What is read on any replica is in use. Each tells the others now and then what
// was read since it last did, in one entry of a small bucket, by a short hash of
// each key: one that two keys have in common keeps a report longer, no more.
const (
	tellEvery   = 5 * time.Minute
	tellTimeout = 10 * time.Second
	// maxTold bounds the keys of one entry, which takes half a megabyte then.
	maxTold = 64 << 10
	// maxTellers bounds the entries, of replicas that are and that were.
	maxTellers = 64
	// tellFormat begins an entry.
	tellFormat = 1
	hashSize   = 8
)

// teller tells the other replicas what is read here, and the index what is read
// there.
type teller struct {
	r *Reports
	// name is this replica's entry.
	name string
	// others are the entries of others with their revisions. Only the watch
	// touches them, one event at a time.
	others map[string]uint64
	// over are entries to be removed.
	over chan string
}

func newTeller(r *Reports) *teller {
	return &teller{r: r, name: rand.Text(), others: map[string]uint64{}, over: make(chan string, maxTellers)}
}

func (t *teller) run(ctx context.Context) {
	tick := time.NewTimer(t.pause())
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.tell(ctx)
			tick.Reset(t.pause())
		case name := <-t.over:
			t.do(ctx, func(ctx context.Context) error { return t.r.o.Reads.Delete(ctx, name, 0) })
		case <-ctx.Done():
			return
		}
	}
}

func (t *teller) pause() time.Duration { return tellEvery/2 + rnd.N(tellEvery) } //nolint:gosec // no secret

// do does what may fail: the order in which reports go is then a little worse.
func (t *teller) do(ctx context.Context, what func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := what(ctx); err != nil {
		t.r.o.Logger.Debug("telling the other replicas what was read", "error", err)
	}
}

func (t *teller) tell(ctx context.Context) {
	if value := t.r.readSince(); value != nil {
		t.do(ctx, func(ctx context.Context) error {
			_, err := t.r.o.Reads.Put(ctx, t.name, value, nil)
			return err
		})
	}
}

// readSince is what was read since it was last asked, the latest last; nil for
// nothing.
func (r *Reports) readSince() []byte {
	var keys []string
	r.mu.Lock()
	for rec := range r.index.all() {
		if rec.read && len(keys) < maxTold {
			rec.read = false
			keys = append(keys, rec.key)
		}
	}
	r.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	value := []byte{tellFormat}
	for _, key := range keys {
		value = binary.BigEndian.AppendUint64(value, keyHash(key))
	}
	return value
}

func (t *teller) see(e bucket.Event) {
	name := e.Entry.Key
	switch {
	case e.Kind == bucket.Reset:
		clear(t.others)
	case e.Kind == bucket.Deleted:
		delete(t.others, name)
	case e.Kind == bucket.Wrote && name != t.name:
		t.others[name] = e.Entry.Revision
		t.r.readElsewhere(e.Entry.Value)
		t.forget()
	}
}

// forget has the entries removed that nobody has written for longest, when there
// are too many.
func (t *teller) forget() {
	for len(t.others) > maxTellers {
		var oldest string
		for name, revision := range t.others {
			if oldest == "" || revision < t.others[oldest] {
				oldest = name
			}
		}
		select {
		case t.over <- oldest:
			delete(t.others, oldest)
		default:
			return // it is done with the next
		}
	}
}

// readElsewhere takes in what another replica has read.
func (r *Reports) readElsewhere(value []byte) {
	if len(value) == 0 || value[0] != tellFormat || len(value) > 1+maxTold*hashSize {
		return
	}
	r.mu.Lock()
	keys := slices.Collect(maps.Keys(r.index.records))
	r.mu.Unlock()
	by := make(map[uint64]string, len(keys))
	for _, key := range keys {
		by[keyHash(key)] = key
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for value = value[1:]; len(value) >= hashSize; value = value[hashSize:] {
		if rec := r.index.records[by[binary.BigEndian.Uint64(value)]]; rec != nil {
			r.index.touch(rec)
		}
	}
}

func keyHash(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return h.Sum64()
}
