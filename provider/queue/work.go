package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/turns"
)

// Work is a job that this replica does.
type Work struct {
	q     *Queue
	lease *lease
	job   *job

	ctx    context.Context
	cancel context.CancelCauseFunc
	// revision is that of the lease as it was last written here, and before what
	// it was until then.
	revision uint64
	before   leaseRecord
	// lost says that the lease is another's.
	lost bool
	// echo is told when the lease is seen to have changed.
	echo chan struct{}
}

// Wish is one namespace's part in a job.
type Wish struct {
	Share turns.Share
	Work  []byte
	// Known is what the asker gave beside it; nil when it asked elsewhere.
	Known any
}

// Share is whose turn the job has.
func (w *Work) Share() turns.Share {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	return w.lease.record.share()
}

// Attempt counts from one, over all replicas that died with the job.
func (w *Work) Attempt() int {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	return w.lease.record.Attempt
}

// Wishes are those who want the job done, the one whose turn it has first.
func (w *Work) Wishes() []Wish {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	var list []Wish
	for a := range w.job.asks {
		wish := Wish{Share: a.record.share(), Work: a.record.Work, Known: a.known}
		if wish.Share.Namespace == w.lease.record.Namespace && len(list) > 0 {
			list = append(list, list[0])
			list[0] = wish
			continue
		}
		list = append(list, wish)
	}
	return list
}

// Again begins one more attempt, of the given number, and says what the last one
// came to. What was counted stays counted when the replica dies.
func (w *Work) Again(attempt int, last string) error {
	w.q.mu.Lock()
	record := w.lease.record
	w.q.mu.Unlock()
	record.Attempt, record.Last = attempt, last
	return w.update(record)
}

// update writes the lease. The mirror has it once the bucket tells of it.
func (w *Work) update(record leaseRecord) error {
	ctx, cancel := w.q.write()
	defer cancel()
	revision, err := w.q.o.Bucket.Update(ctx, w.lease.key, encode(record), w.revision)
	if err != nil {
		return fmt.Errorf("writing a scan's lease: %w", err)
	}
	w.revision = revision
	return nil
}

// lose ends work whose lease is another's. Queue.mu is held.
func (w *Work) lose() {
	w.lost = true
	w.cancel(ErrLost)
	w.heard()
}

// heard wakes whoever waits for a change of the lease.
func (w *Work) heard() {
	select {
	case w.echo <- struct{}{}:
	default:
	}
}

// assign gives the free slots of this replica to those whose turn it is.
func (q *Queue) assign() {
	for !q.closing && q.taken < q.o.Slots && q.ready() {
		next := q.accounts.Next()
		if next == nil {
			return
		}
		q.begin(next.Item)
	}
}

// ready reports whether the bucket has been read, so that it is known what the
// others do, and this replica has been seen to be alive of late: a lease of one that
// is not would be taken over at once. Who was cut off waits for its next sign of life
// to be seen, although it can write already.
func (q *Queue) ready() bool {
	select {
	case <-q.synced:
	default:
		return false
	}
	m := q.members[q.o.Replica]
	return m != nil && q.own(q.o.Replica, m.record) && q.o.Now().Sub(m.seen) < surely*q.o.Heartbeat
}

// begin takes a job for this replica, as far as it can tell: its lease is yet to
// be written.
func (q *Queue) begin(a *ask) {
	j := a.job
	key := leasePrefix + j.group
	if l := q.leases[key]; l != nil && q.holds(l) {
		key = leasePrefix + j.token // it is impatient
	}
	record := leaseRecord{
		Version: version, Job: j.token, Group: j.group, Result: a.record.Result, Holder: q.self,
		Namespace: a.record.Namespace, Registry: a.record.Registry, Attempt: 1, Began: q.o.Now(),
	}
	// Those who did it are gone. It counts for all jobs of the group, which are
	// about the same thing: if it ends replicas, they would do it in turn for ever.
	for _, k := range []string{leasePrefix + j.group, leasePrefix + j.token} {
		l := q.leases[k]
		if l == nil || l.record.Over != nil || l.record.Holder == "" || q.holds(l) {
			continue
		}
		record.Attempt = max(record.Attempt, l.record.Attempt+1)
		if l.record.Job == j.token {
			record.Last = l.record.Last
		}
	}
	l := q.leases[key]
	if l == nil {
		l = &lease{key: key}
		q.leases[key] = l
	}
	w := &Work{q: q, lease: l, job: j, revision: l.revision, before: l.record, echo: make(chan struct{}, 1)}
	w.ctx, w.cancel = context.WithCancelCause(q.root)
	q.take(l, false)
	l.record, l.since, l.reading, l.work = record, q.o.Now(), q.reading, w
	q.taken++
	q.settleLease(l)
	q.running.Add(1)
	q.wg.Go(func() {
		defer q.running.Done()
		q.run(w, a)
	})
}

// run writes the lease, does the job and writes what came of it.
func (q *Queue) run(w *Work, a *ask) {
	defer q.end(w)
	defer w.cancel(nil)
	if !q.claim(w, a) {
		return
	}
	if outcome := q.o.Do(w.ctx, w); outcome != nil {
		q.finish(w, outcome)
	} else {
		q.release(w)
	}
}

// claim makes the lease this replica's. It is false when another was first, or
// nobody can tell.
func (q *Queue) claim(w *Work, a *ask) bool {
	select {
	case <-a.written: // what nobody can see must not be done
	case <-w.ctx.Done():
	}
	q.mu.Lock()
	needless := q.asks[a.key] != a || w.ctx.Err() != nil
	record := w.lease.record
	q.mu.Unlock()
	if needless {
		q.unclaim(w, false)
		return false
	}
	ctx, cancel := q.write()
	defer cancel()
	var err error
	if w.revision == 0 {
		w.revision, err = q.o.Bucket.Create(ctx, w.lease.key, encode(record))
	} else {
		w.revision, err = q.o.Bucket.Update(ctx, w.lease.key, encode(record), w.revision)
	}
	if err != nil {
		if !errors.Is(err, bucket.ErrExists) && !errors.Is(err, bucket.ErrChanged) {
			q.o.Logger.Warn("a scan could not be taken up", "error", err)
		}
		q.unclaim(w, true)
		return false
	}
	if q.current(ctx, w) {
		return true
	}
	q.unwrite(ctx, w)
	return false
}

// current waits until all is known here that was before the lease. Without it
// the job might be one that another replica ended a moment ago. It is false when
// that turned out, or does not become known in time.
func (q *Queue) current(ctx context.Context, w *Work) bool {
	for {
		q.mu.Lock()
		lost, seen := w.lost, w.lease.revision >= w.revision
		q.mu.Unlock()
		if lost || seen {
			return !lost
		}
		select {
		case <-w.echo:
		case <-w.ctx.Done():
			return false
		case <-ctx.Done():
			q.o.Logger.Warn("what the other replicas do is not known here at present: a scan is left to them")
			return false
		}
	}
}

// unclaim takes back a lease that was not written. Contested, its job rests
// until it is known who has it, or for a moment.
func (q *Queue) unclaim(w *Work, contested bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := w.lease
	if w.lost || l.work != w {
		return // whose it is is known by now
	}
	l.work = nil
	q.take(l, false)
	switch {
	case contested:
		l.record, l.contested, l.since = w.before, true, q.o.Now()
		l.record.Job, l.record.Group = w.job.token, w.job.group
		q.settleLease(l)
	case l.revision == 0:
		q.dropLease(l)
	default:
		l.record = w.before
		q.settleLease(l)
	}
}

// end gives the slot back.
func (q *Queue) end(w *Work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.lease.work == w {
		w.lease.work = nil
	}
	q.taken--
	q.assign()
}

// release hands a job back, for whoever is next to do it.
func (q *Queue) release(w *Work) {
	q.mu.Lock()
	lost := w.lost
	q.mu.Unlock()
	if lost {
		return
	}
	ctx, cancel := q.write()
	defer cancel()
	q.unwrite(ctx, w)
}

// unwrite removes the lease as it was last written here.
func (q *Queue) unwrite(ctx context.Context, w *Work) {
	if err := q.o.Bucket.Delete(ctx, w.lease.key, w.revision); err != nil && !errors.Is(err, bucket.ErrChanged) {
		q.o.Logger.Warn("a scan could not be handed back yet", "error", err)
	}
}

// finishFor is how long it is tried to write down what came of a job.
const finishFor = 30 * time.Second

// finish writes down what came of a job, for all replicas, and removes what
// asked for it.
func (q *Queue) finish(w *Work, o *Outcome) {
	q.mu.Lock()
	record := w.lease.record
	q.mu.Unlock()
	record.Over = o
	deadline := time.Now().Add(finishFor)
	for {
		err := w.update(record)
		switch {
		case err == nil:
			return // it is swept once it is seen
		case errors.Is(err, bucket.ErrChanged):
			q.o.Logger.Warn("a scan was taken over by another replica before it ended here")
			return
		case time.Now().After(deadline) || q.root.Err() != nil:
			q.o.Logger.Warn("what came of a scan could not be written down", "error", err)
			return
		}
		q.pause(time.Second)
	}
}

// sweep removes a lease whose job is over, at the revision that said so, and
// what asked for it. Several replicas may do so at once.
func (q *Queue) sweep(key string, revision uint64, ended []*ask) {
	ctx, cancel := q.write()
	defer cancel()
	for _, a := range ended {
		// Asked for again, it is at another revision and stays.
		if err := q.o.Bucket.Delete(ctx, a.key, a.revision); err != nil && !errors.Is(err, bucket.ErrChanged) {
			q.o.Logger.Warn("an ask that is over could not be removed yet", "error", err)
			return
		}
	}
	if err := q.o.Bucket.Delete(ctx, key, revision); err != nil && !errors.Is(err, bucket.ErrChanged) {
		q.o.Logger.Warn("the lease of a job that is over could not be removed yet", "error", err)
	}
}
