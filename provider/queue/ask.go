package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/turns"
)

// Ask is a wish for a job.
type Ask struct {
	// Job names the work: all that ask by one name share it.
	Job string
	// Group names what jobs are done one after another for, since what one comes
	// to may serve the others; Result what its outcome counts for.
	Group, Result string
	// Share is on whose account it goes.
	Share turns.Share
	// Work is what whoever does it has to know. It is kept where others may read
	// it: names, never a secret.
	Work json.RawMessage
	// Known is what the asker knows beside it; it stays in this process.
	Known any
}

// Ticket is for one who waits in this process for a job.
type Ticket struct {
	q       *Queue
	ask     *ask
	waiters *waiters
}

// waiters are all who wait here for a job.
type waiters struct {
	done    chan struct{}
	outcome Outcome
	err     error
}

// Done is closed when Outcome has something to say.
func (t *Ticket) Done() <-chan struct{} { return t.waiters.done }

// Outcome is what came of the job once Done is closed; the error says why
// nothing did, which is not the job's own fault.
func (t *Ticket) Outcome() (Outcome, error) { return t.waiters.outcome, t.waiters.err }

// Leave counts the asker out. The job goes on as long as somebody comes back now
// and then.
func (t *Ticket) Leave() {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.ask.waiting--
	t.ask.local = t.q.o.Now()
}

// Since returns since when its namespace asks for the job, as far as it is known
// here.
func (t *Ticket) Since() time.Time { return t.ask.first }

// Last returns what the latest failed attempt at the job said, or nothing.
func (t *Ticket) Last() string {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	if l := t.q.leaseOf(t.ask.job); l != nil {
		return l.record.Last
	}
	return ""
}

// Ask has a job done that is not asked for yet, and counts the asker among those
// who wait, until it leaves. It does not wait itself.
func (q *Queue) Ask(a Ask) (*Ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing {
		return nil, ErrClosing
	}
	job := token(a.Job)
	key := askKey(job, a.Share.Namespace)
	now := q.o.Now()
	there := q.asks[key]
	if there == nil {
		if err := q.room(a.Share); err != nil {
			return nil, err
		}
		record := askRecord{
			Version: version, Group: token(a.Group), Result: token(a.Result),
			Namespace: a.Share.Namespace, Registry: a.Share.Registry,
			Asked: now, Seen: now, By: q.self, Work: a.Work,
		}
		there = q.enter(key, record)
		q.wg.Go(func() { q.writeAsk(there, encode(record)) })
		q.settle(there.job)
	}
	there.local, there.known = now, a.Known
	there.waiting++
	j := there.job
	if j.waiters == nil {
		j.waiters = &waiters{done: make(chan struct{})}
	}
	t := &Ticket{q: q, ask: there, waiters: j.waiters}
	q.assign()
	return t, nil
}

// Asked reports whether somebody asks for the job already.
func (q *Queue) Asked(job string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs[token(job)] != nil
}

// maxBeside bounds, beside Options.Waiting, the asks that do not wait for a turn:
// of jobs under way, and of those that wait for another of their group.
const maxBeside = 4096

// room makes sure that one more ask of the share may wait, where it has to.
func (q *Queue) room(s turns.Share) error {
	beside := len(q.asks) - q.accounts.Waiting()
	if beside >= q.o.Waiting+maxBeside && q.askers[s.Namespace] >= len(q.asks)/len(q.askers) {
		return ErrFull // it has as many as anybody
	}
	if q.taken < q.o.Slots && q.accounts.May(s) {
		return nil
	}
	instead, ok := q.accounts.Room(s)
	if !ok {
		return ErrFull
	}
	if instead != nil {
		q.drop(instead.Item, ReasonFull)
	}
	return nil
}

// drop takes an ask off the queue, which its own replica is told.
func (q *Queue) drop(a *ask, why Reason) {
	record := a.record
	record.Over = why
	q.remove(a, why.err())
	if q.o.Dropped != nil {
		q.o.Dropped(why)
	}
	q.wg.Go(func() {
		<-a.written
		q.mu.Lock()
		revision := a.revision
		q.mu.Unlock()
		if revision == 0 {
			return // it was never there
		}
		ctx, cancel := q.write()
		defer cancel()
		last, err := q.o.Bucket.Update(ctx, a.key, encode(record), revision)
		if err == nil {
			err = q.o.Bucket.Delete(ctx, a.key, last)
		}
		if err != nil && !errors.Is(err, bucket.ErrChanged) { // changed: it is asked for again
			q.o.Logger.Warn("an ask could not be taken off the scan queue", "error", err)
		}
	})
}

// writeAsk puts an ask into the bucket.
func (q *Queue) writeAsk(a *ask, value []byte) {
	q.writes <- struct{}{}
	defer func() { <-q.writes }()
	ctx, cancel := q.write()
	defer cancel()
	revision, err := q.o.Bucket.Create(ctx, a.key, value)
	if errors.Is(err, bucket.ErrExists) {
		// From another replica, or one whose end is being written: written once
		// more it stays.
		revision, err = q.rewrite(a.key, value)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	close(a.written)
	if err != nil && a.revision == 0 { // else the answer was lost, and it is known to be there
		q.o.Logger.Warn("a scan could not be queued", "error", err)
		q.remove(a, fmt.Errorf("%w: %w", ErrUnwritten, err))
		return
	}
	if a.revision < revision {
		a.revision, a.reading = revision, q.reading
	}
	q.assign()
}

// rewrite writes an ask that is there already once more, so that it stays.
func (q *Queue) rewrite(key string, value []byte) (uint64, error) {
	ctx, cancel := q.write()
	defer cancel()
	for {
		there, err := q.o.Bucket.Get(ctx, key)
		if err != nil {
			return 0, fmt.Errorf("reading an ask: %w", err)
		}
		var revision uint64
		if there == nil {
			revision, err = q.o.Bucket.Create(ctx, key, value)
		} else {
			revision, err = q.o.Bucket.Update(ctx, key, value, there.Revision)
		}
		if !errors.Is(err, bucket.ErrChanged) && !errors.Is(err, bucket.ErrExists) {
			return revision, err
		}
	}
}
