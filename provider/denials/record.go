package denials

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/imagegate/imagegate/provider/report"
)

// Record is what was not let in. It is safe for concurrent use.
type Record struct {
	o       Options
	now     func() time.Time
	metrics *metrics
	// more wakes who writes, and pace bounds how fast.
	more chan struct{}
	pace *rate.Limiter

	mu     sync.Mutex
	memory *memory
	// synced says that what was in the bucket is known.
	synced bool
	// told is what the watch has told since it began anew.
	told map[string]struct{}
	// removals are the revisions of what is to be removed from the bucket.
	removals map[string]uint64
	// complained is when the bucket was last said to take nothing. It is of who writes.
	complained time.Time
	// broken counts what could not be read, for the log.
	broken int
	// unreadable are the keys in the bucket that cannot be read.
	unreadable map[string]struct{}
}

// New returns a Record that knows nothing of others until Run does.
func New(o Options) (*Record, error) { return newRecord(o, time.Now) }

func newRecord(o Options, now func() time.Time) (*Record, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Record{o: o, now: now, more: make(chan struct{}, 1), pace: rate.NewLimiter(writesPerSecond, writesPerSecond), memory: newMemory(o.Bytes), removals: map[string]uint64{}, unreadable: map[string]struct{}{}}
	var err error
	if r.metrics, err = newMetrics(o.Registerer, r.count); err != nil {
		return nil, fmt.Errorf("registering the metrics of denials: %w", err)
	}
	return r, nil
}

// Saw takes in an attempt. It does nothing in the caller's time but note it.
func (r *Record) Saw(a Attempt) {
	a = a.cleaned()
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.memory.items[a.id()]
	if a.Status == report.Accepted {
		if i != nil && i.shown.Open() {
			r.observe(i, Entry{Resolved: now})
		}
		return
	}
	if i == nil {
		i = r.memory.add(a.id())
	}
	r.observe(i, a.entry(now))
}

// Answered takes in what Gatekeeper was told at an admission. It concerns what is
// pending in the namespace: whose Pod was let in does not try again.
func (r *Record) Answered(namespace, image, digest string, status report.Status, message string) {
	if status == report.NotAvailable {
		return
	}
	a := Attempt{Namespace: namespace, Image: image, Digest: digest, Message: message}.cleaned()
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.memory.images[place{a.Namespace, a.Image}] {
		e := *i.shown
		if !e.Open() || e.Status != report.NotAvailable || e.Digest != "" && e.Digest != a.Digest {
			continue
		}
		if status == report.Accepted {
			r.observe(i, Entry{Resolved: now})
			continue
		}
		e.Status, e.Digest, e.Reason, e.Count, e.Last = status, a.Digest, a.Message, 0, now
		r.observe(i, e)
	}
}

// observe adds to what this replica knows of i and is not written yet. r.mu is held.
func (r *Record) observe(i *item, e Entry) {
	before := i.shown
	i.delta = merge(i.delta, e)
	r.show(i)
	if before == nil || before.Open() != i.shown.Open() || before.Status != i.shown.Status || before.Digest != i.shown.Digest {
		i.urgent = true
		r.wake()
	}
	r.memory.dirty[i] = struct{}{}
	r.makeRoom()
}

// show has i shown as what is known of it. r.mu is held.
func (r *Record) show(i *item) {
	r.memory.show(i, merge(merge(i.stored, i.writing), i.delta))
}

// makeRoom keeps within the bytes. r.mu is held.
func (r *Record) makeRoom() {
	for i := r.memory.excess(); i != nil; i = r.memory.excess() {
		i.account.forgotten++
		r.metrics.forgotten.Inc()
		r.drop(i)
	}
}

// drop forgets i, here and in the bucket. r.mu is held.
func (r *Record) drop(i *item) {
	r.memory.remove(i)
	if i.revision != 0 {
		r.removals[i.key] = i.revision
		r.wake()
	}
}

func (r *Record) wake() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// Filter says what a List has.
type Filter struct {
	// Namespaces are those it is of; nil: all. An empty one that is not nil is none.
	Namespaces []string
	// Image and Digest are those it is of; empty: all.
	Image, Digest string
	// Statuses are those it has; nil: all.
	Statuses []report.Status
	// Resolved adds what was accepted since.
	Resolved bool
	// Since leaves out what was last attempted before. The pause between two attempts
	// of a controller grows to some 17 minutes: what is open, has an Owner and was not
	// attempted for longer is waited for by nobody, as after another rollout.
	Since time.Time
}

// List is what is remembered, by a Filter.
type List struct {
	// Known is false until what others have remembered is read: until then what is
	// not there means nothing.
	Known bool
	// Unreadable is how many of those that others have remembered cannot be read: they
	// are damaged, or a newer provider's.
	Unreadable int
	// Entries are ordered by their last attempt, the latest first. They are never
	// changed.
	Entries []*Entry
	// Forgotten is how many were forgotten for want of room, by namespace, since this
	// process has begun; only of those that Filter names, and without those that have
	// no entry any more.
	Forgotten map[string]int
}

// List returns what is remembered.
func (r *Record) List(f Filter) List {
	l := r.listed(f)
	// Without the lock, which every answer takes that was no acceptance.
	slices.SortFunc(l.Entries, func(a, b *Entry) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Image, b.Image), cmp.Compare(a.Owner.Name, b.Owner.Name), cmp.Compare(a.Pod, b.Pod))
	})
	return l
}

// listed is List in no order.
func (r *Record) listed(f Filter) List {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := List{Known: r.synced, Unreadable: len(r.unreadable)}
	of := func(a *account) {
		if a == nil {
			return
		}
		if a.forgotten > 0 {
			if l.Forgotten == nil {
				l.Forgotten = map[string]int{}
			}
			l.Forgotten[a.namespace] = a.forgotten
		}
		for i := range a.all() {
			if f.has(i.shown) {
				l.Entries = append(l.Entries, i.shown)
			}
		}
	}
	if f.Namespaces == nil {
		for _, a := range r.memory.accounts {
			of(a)
		}
	} else {
		for _, n := range slices.Compact(slices.Sorted(slices.Values(f.Namespaces))) {
			of(r.memory.accounts[n])
		}
	}
	return l
}

func (f *Filter) has(e *Entry) bool {
	return (f.Resolved || e.Open()) && (f.Image == "" || f.Image == e.Image) && (f.Digest == "" || f.Digest == e.Digest) &&
		!e.Last.Before(f.Since) && (f.Statuses == nil || slices.Contains(f.Statuses, e.Status))
}

// count is how many there are by state, for the metric.
func (r *Record) count() map[string]int {
	counts := map[string]int{}
	for _, s := range states() {
		counts[s] = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.memory.items {
		if i.shown.Open() {
			counts[string(i.shown.Status)]++
		} else {
			counts[stateResolved]++
		}
	}
	return counts
}
