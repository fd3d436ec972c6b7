package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/report"
)

// ReportsOptions says where reports are kept and how many. What has no default
// must be set.
type ReportsOptions struct {
	// Bucket holds the reports. Nothing else is in it.
	Bucket bucket.Bucket
	// Reads is a small bucket by which replicas tell each other what was read, for
	// the choice of what is forgotten; nil where there is one replica only.
	Reads bucket.Bucket
	// Bytes bounds all reports together, as they are kept. When they are more the
	// least recently read go, those of the namespace first that has the most. The
	// bucket's own bound must be above it by what is written in a few seconds.
	Bytes int64
	// CacheBytes bounds, about, what is kept in memory ready to be judged.
	CacheBytes int64
	// Unasked says that nobody asks this replica for reports but who is about to make
	// them: it does not read what others have finished before it is asked for.
	Unasked bool
	// KeepFor is how long a report is kept after it was written; zero: as long as
	// there is room.
	KeepFor time.Duration
	// Timeout bounds a look into the bucket. Default 300 ms.
	Timeout time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer may be nil: no metrics then.
	Registerer prometheus.Registerer
}

// DefaultCacheBytes holds some eight hundred reports of 300 findings, which take
// 320 kB each once they are read, seven times what they take in the bucket.
const DefaultCacheBytes = 256 << 20

// DefaultTimeout is short of the budget of a request (server.budget), which has
// more to do than that.
const DefaultTimeout = 300 * time.Millisecond

func (o *ReportsOptions) complete() error {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for name, ok := range map[string]bool{
		"Bucket":     o.Bucket != nil,
		"Bytes":      o.Bytes > 0,
		"CacheBytes": o.CacheBytes > 0,
		"KeepFor":    o.KeepFor >= 0,
		"Timeout":    o.Timeout > 0,
	} {
		if !ok {
			errs = append(errs, errors.New("option "+name+" is missing or out of range"))
		}
	}
	return errors.Join(errs...)
}

// Reports keeps scans in a bucket that all replicas share. Each replica has in
// memory what it reads often, and an index of all there is, which a watch keeps
// true: a report that is in memory is answered without a question, and so is
// that there is none. It may be used by any number of goroutines; until Run it does
// not hear of what others write.
type Reports struct {
	o       ReportsOptions
	codec   *codec
	metrics *reportMetrics

	// flights makes reads of one revision at once into one.
	flights singleflight.Group
	// reads bounds the reads under way, queued counts those that wait for it too.
	reads  chan struct{}
	queued atomic.Int64
	// arrived are the keys of reports that somebody else has finished.
	arrived chan string
	// crowded wakes who makes room.
	crowded chan struct{}

	mu    sync.Mutex
	index *index
	cache *cache
	// synced says that the index has all there is.
	synced bool
	// seen is the highest revision that the watch has told of.
	seen uint64
	// waiting has those who wait for news of a key.
	waiting map[string]*bell
	// changed is closed at the next change; nil where nobody waits for one.
	changed chan struct{}
	// writing has the keys that are being written here.
	writing map[string]*write
}

// bell is rung when there is news of a key.
type bell struct {
	rung    chan struct{}
	waiters int
}

const (
	// maxReads bounds the reads of the bucket under way, maxQueued those that wait
	// for their turn, as after a start when everything is asked for at once.
	maxReads  = 16
	maxQueued = 2048
	// maxArrived bounds the reports that are to be read ahead of being asked for,
	// ahead those of them under way.
	maxArrived = 1024
	ahead      = 4
	// cachedOverhead is about what a scan in memory takes beside its content.
	cachedOverhead = 1024
	// behindPause is the pause before the bucket is asked again that has not
	// caught up with what its watch told.
	behindPause = 10 * time.Millisecond
)

// ownerMeta is the namespace that had a report made, as Reports writes it.
const ownerMeta = "owner"

// NewReports returns a Reports, which learns of the bucket's changes in Run.
func NewReports(o ReportsOptions) (*Reports, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("configuring the report store: %w", err)
	}
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	r := &Reports{
		o:       o,
		codec:   c,
		reads:   make(chan struct{}, maxReads),
		arrived: make(chan string, maxArrived),
		crowded: make(chan struct{}, 1),
		index:   newIndex(),
		waiting: map[string]*bell{},
		writing: map[string]*write{},
	}
	if r.cache, err = newCache(int(o.CacheBytes/cachedOverhead)+1, o.CacheBytes); err != nil {
		return nil, err
	}
	if r.metrics, err = newReportMetrics(o.Registerer, r); err != nil {
		return nil, fmt.Errorf("registering the report store's metrics: %w", err)
	}
	return r, nil
}

// Get returns the scan of a key, or nil when there is none that can be read. The
// scan is shared and must not be changed. An error means that the store cannot
// be reached, or does not answer within Timeout or ctx; it is a *report.Failure.
func (r *Reports) Get(ctx context.Context, key string) (*report.Scan, error) {
	scan, at, known := r.atHand(key)
	if known {
		return scan, nil
	}
	return r.read(ctx, key, at)
}

// GetAt is Get once this replica knows of the revision of the key, which Put
// returned to whoever wrote it, or of a later one. Until then it waits for ctx.
func (r *Reports) GetAt(ctx context.Context, key string, revision uint64) (*report.Scan, error) {
	for {
		err := r.hear(ctx, key, revision)
		if err == nil {
			scan, err := r.Get(ctx, key)
			if err != nil || scan != nil || revision == 0 {
				return scan, err
			}
			// The watch does not tell of what was replaced at once, and may not yet have
			// told of what took its place.
			return r.read(ctx, key, 0)
		}
		if ctx.Err() != nil {
			return nil, err
		}
		// A watch that has broken off takes seconds to notice. The report is there.
		if scan, err := r.read(ctx, key, revision); err == nil && scan != nil {
			return scan, nil
		}
	}
}

// Look is GetAt for whoever is about to make what is not there. A replica that was cut
// off may hear of its queue again before it hears of the reports that others wrote
// meanwhile, so what it has not heard of it reads.
func (r *Reports) Look(ctx context.Context, key string, revision uint64) (*report.Scan, error) {
	scan, err := r.GetAt(ctx, key, revision)
	if err != nil || scan != nil || revision > 0 {
		return scan, err
	}
	return r.read(ctx, key, 0)
}

// hear is await for no longer than Timeout.
func (r *Reports) hear(ctx context.Context, key string, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	return r.await(ctx, key, revision)
}

// atHand returns what can be said of a key without the bucket, or else, as not
// known, the revision of it that there is; zero if any.
func (r *Reports) atHand(key string) (scan *report.Scan, at uint64, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.index.records[key]
	switch {
	case rec == nil:
		return nil, 0, r.synced && r.count(readAbsent)
	case rec.bad:
		return nil, 0, r.count(readUnreadable)
	}
	r.index.touch(rec)
	rec.read = true
	if e, ok := r.cache.get(key); ok && e.revision == rec.revision {
		return e.scan, e.revision, r.count(readMemory)
	}
	return nil, rec.revision, false
}

func (r *Reports) count(from string) bool {
	r.metrics.reads[from].Inc()
	return true
}

// await returns when the index has the revision of the key, or what came of it.
func (r *Reports) await(ctx context.Context, key string, revision uint64) error {
	for {
		r.mu.Lock()
		rec := r.index.records[key]
		if rec != nil && rec.revision >= revision || r.synced && r.seen >= revision {
			r.mu.Unlock()
			return nil
		}
		b := r.waiting[key]
		if b == nil {
			b = &bell{rung: make(chan struct{})}
			r.waiting[key] = b
		}
		b.waiters++
		r.mu.Unlock()
		select {
		case <-b.rung:
		case <-ctx.Done():
			r.mu.Lock()
			if b.waiters--; b.waiters == 0 && r.waiting[key] == b {
				delete(r.waiting, key)
			}
			r.mu.Unlock()
			return fmt.Errorf("this replica has not heard of revision %d of the report yet: %w", revision, ctx.Err())
		}
	}
}

// ring wakes those who wait for news of the key, or of any.
func (r *Reports) ring(key string) {
	r.change()
	if b := r.waiting[key]; b != nil {
		close(b.rung)
		delete(r.waiting, key)
	}
}

// read reads the key from the bucket, of which there is the revision, together
// with all who do so.
func (r *Reports) read(ctx context.Context, key string, at uint64) (*report.Scan, error) {
	done := r.flights.DoChan(key+"@"+strconv.FormatUint(at, 10), func() (any, error) { return r.inTurn(key, at) })
	select {
	case f := <-done:
		if f.Err != nil {
			r.count(readFailed)
			return nil, f.Err
		}
		r.count(readBucket)
		scan, _ := f.Val.(*report.Scan)
		return scan, nil
	case <-ctx.Done():
		r.count(readFailed)
		return nil, &report.Failure{Reason: report.ReasonUnavailable, Message: "the report store did not answer in time", Err: ctx.Err()}
	}
}

// inTurn is fetch when it is its turn. It does not end with its first asker: the
// others wait for it too, and what is read in vain now is in memory then.
func (r *Reports) inTurn(key string, at uint64) (*report.Scan, error) {
	defer r.queued.Add(-1)
	if r.queued.Add(1) > maxQueued {
		return nil, unreachable(errors.New("too many reports are being read"))
	}
	r.reads <- struct{}{}
	defer func() { <-r.reads }()
	ctx, cancel := context.WithTimeout(context.Background(), r.o.Timeout)
	defer cancel()
	return r.fetch(ctx, key, at)
}

// unreachable is the error of everything that needs the bucket and has none: what
// the author of a Pod is told, and for the log why.
func unreachable(err error) error {
	return &report.Failure{Reason: report.ReasonUnavailable, Message: "the report store cannot be reached", Err: err}
}

// fetch reads the key at the revision or a later one, and remembers it.
func (r *Reports) fetch(ctx context.Context, key string, at uint64) (scan *report.Scan, err error) {
	defer report.Recover(&err)
	e, err := r.caughtUp(ctx, key, at)
	if err != nil || e == nil {
		return nil, err
	}
	scan, plain, err := r.codec.decode(key, e.Value)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(key, e.Meta[ownerMeta], e.Revision, len(e.Value), e.Written)
	rec := r.index.records[key]
	current := rec != nil && rec.revision == e.Revision
	if err != nil {
		r.unreadable(key, e, err)
		if current {
			rec.bad = true
		}
		return nil, nil // it is there and says nothing: as good as none
	}
	if current {
		r.remember(key, scan, e.Revision, plain)
	}
	return scan, nil
}

// note adds what was read to the index, unless the watch has told of
// it, and maybe of more. r.mu is held.
func (r *Reports) note(key, owner string, revision uint64, size int, written time.Time) {
	if !r.synced || r.seen < revision {
		r.index.wrote(key, owner, revision, size, written)
	}
}

// unreadable tells of a value that says nothing. It is left where it is: what a
// newer provider wrote is good for that, and a new scan takes the place of either.
func (r *Reports) unreadable(key string, e *bucket.Entry, why error) {
	if errors.Is(why, errNewer) {
		r.metrics.unreadable[unreadableNewer].Inc()
		r.o.Logger.Info("a stored report is passed over, as if there were none", "key", key, "revision", e.Revision, "why", why)
		return
	}
	r.metrics.unreadable[unreadableBroken].Inc()
	r.o.Logger.Warn("a stored report is broken and counts for nothing: the image will be scanned again", "key", key, "revision", e.Revision, "why", why)
}

// remember keeps a scan in memory. r.mu is held.
func (r *Reports) remember(key string, scan *report.Scan, revision uint64, plain int) {
	r.cache.put(key, cached{scan: scan, revision: revision, bytes: footprint(scan, plain) + cachedOverhead})
}

// caughtUp reads the key at the revision or a later one: the bucket may be
// behind what its watch has told by a moment. It is nil for a key that is gone.
func (r *Reports) caughtUp(ctx context.Context, key string, at uint64) (*bucket.Entry, error) {
	for pause := behindPause; ; pause *= 2 {
		e, err := r.o.Bucket.Get(ctx, key)
		if err != nil {
			return nil, unreachable(err)
		}
		if e == nil && at == 0 || e != nil && e.Revision >= at {
			return e, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if e == nil {
				r.lost(key, at)
				return nil, nil
			}
			return nil, unreachable(fmt.Errorf("it has not caught up with revision %d: %w", at, ctx.Err()))
		}
		if !r.has(key, at) {
			return nil, nil
		}
	}
}

// has reports whether the index has the key at the revision or a later one.
func (r *Reports) has(key string, at uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.index.records[key]
	return rec != nil && rec.revision >= at
}

// lost forgets a report of which the watch has told and that is not there.
func (r *Reports) lost(key string, at uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.index.records[key]; rec != nil && rec.revision == at {
		r.index.remove(rec)
		r.cache.remove(key)
	}
}

// Put keeps the scan of a key, made for the namespace, in place of an earlier
// one, whoever wrote that: a newer provider too can read what this one writes.
// The revision is for GetAt. An error means that the scan may have been kept or
// not; bucket.ErrFull that there is no room for it.
func (r *Reports) Put(ctx context.Context, namespace, key string, scan *report.Scan) (revision uint64, err error) {
	value, plain, err := r.codec.encode(key, scan)
	if err != nil {
		return 0, fmt.Errorf("packing the scan of %s: %w", key, err)
	}
	owner := ownerName(namespace)
	w, written := r.writes(key)
	defer written()
	before, _ := r.Bytes()
	revision, err = r.o.Bucket.Put(ctx, key, value, bucket.Meta{ownerMeta: owner})
	if errors.Is(err, bucket.ErrFull) {
		// Its bound, or the disk, is below ours.
		if err = r.makeRoom(ctx, before, int64(len(value))); err == nil {
			revision, err = r.o.Bucket.Put(ctx, key, value, bucket.Meta{ownerMeta: owner})
		}
	}
	if err != nil {
		return 0, fmt.Errorf("writing the scan of %s to the report store: %w", key, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.deleted < revision {
		r.index.wrote(key, owner, revision, len(value), time.Now())
	}
	if rec := r.index.records[key]; rec != nil && rec.revision == revision {
		r.remember(key, scan, revision, plain)
	}
	r.ring(key)
	r.crowd()
	return revision, nil
}

// write is of one key, under way here, once or more. The watch may tell of it, and of
// its end, before it returns.
type write struct {
	writers int
	// deleted is the highest revision at which the watch has told that the key is gone.
	deleted uint64
}

// writes says that a key is being written, until the returned function is called. What
// is written is at hand then, and need not be read when the watch tells of it; what
// somebody else has written of the key meanwhile is read when it is asked for.
func (r *Reports) writes(key string) (w *write, done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w = r.writing[key]; w == nil {
		w = &write{}
		r.writing[key] = w
	}
	w.writers++
	return w, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if w.writers--; w.writers == 0 {
			delete(r.writing, key)
		}
	}
}

// Bytes returns what all reports take in the bucket, about, and how many there
// are, as far as this replica knows.
func (r *Reports) Bytes() (bytes int64, reports int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.index.bytes, len(r.index.records)
}

// InMemory returns how many reports are answered without the bucket.
func (r *Reports) InMemory() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache.len()
}

// Ready returns nil once the store has told this replica what it holds.
func (r *Reports) Ready(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.synced {
		return errors.New("the report store has not told what it holds yet")
	}
	return nil
}
