package queue

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/turns"
)

// lingers is how long what is over stays until any replica removes it: whoever
// should have done so is gone.
const lingers = 10 * time.Second

// patrol does now and then what no change brings about.
func (q *Queue) patrol() {
	tick := time.NewTicker(patrolEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			q.round()
		case <-q.root.Done():
			return
		}
	}
}

func (q *Queue) round() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	for name, m := range q.members {
		q.forget(name, m)
	}
	for _, l := range q.leases {
		q.lookAfter(l, now)
	}
	for _, j := range q.jobs {
		if !j.blocked.IsZero() && !j.impatient && now.Sub(j.blocked) >= q.o.YieldAfter {
			j.impatient = true
			q.settle(j)
		}
	}
	for _, a := range q.asks {
		q.keep(a, now)
	}
	q.yield(now)
	q.assign()
}

// forget removes a replica that has long been dead, whichever finds that first: one
// that did not say that it goes may never come back by its name. One that does
// writes itself again.
func (q *Queue) forget(name string, m *member) {
	if q.beats-m.beat < gone {
		return
	}
	m.beat = q.beats - missed // where that fails it is tried again after as long
	revision := m.revision
	q.wg.Go(func() {
		ctx, cancel := q.write()
		defer cancel()
		if err := q.o.Bucket.Delete(ctx, memberPrefix+name, revision); err != nil && !errors.Is(err, bucket.ErrChanged) {
			q.o.Logger.Warn("a replica that is gone could not be forgotten yet", "replica", name, "error", err)
		}
	})
}

// lookAfter ends what hangs on a lease that nobody will end.
func (q *Queue) lookAfter(l *lease, now time.Time) {
	idle := now.Sub(l.since)
	switch {
	case l.contested && idle >= patrolEvery:
		l.contested = false
		if l.revision == 0 {
			q.dropLease(l)
		} else {
			q.settleLease(l)
		}
	case l.contested || l.work != nil || l.revision == 0 || idle < lingers:
	case l.record.Over != nil, l.record.Holder == q.self, !q.holds(l) && len(q.jobAsks(l.record.Job)) == 0:
		q.later(l)
	}
}

func (q *Queue) jobAsks(token string) map[*ask]struct{} {
	if j := q.jobs[token]; j != nil {
		return j.asks
	}
	return nil
}

// later removes a lease, and the asks that ended with it.
func (q *Queue) later(l *lease) {
	key, revision, ended := l.key, l.revision, l.ended
	l.since = q.o.Now()
	q.wg.Go(func() { q.sweep(key, revision, ended) })
}

// keep writes an ask again that is still asked for here, so that the other
// replicas know, and takes it off once nobody has asked for it for long.
func (q *Queue) keep(a *ask, now time.Time) {
	if a.revision == 0 || a.refreshing {
		return
	}
	if a.waiting > 0 {
		a.local = now
	}
	// Written again at a quarter of the time, an ask of other replicas may be
	// younger than it looks.
	quarter := q.o.AbandonAfter / 4
	last, patience := a.local, q.o.AbandonAfter
	if a.record.By != q.self && a.changed.After(a.local) {
		last, patience = a.changed, patience+quarter
	}
	switch {
	case a.local.Sub(a.changed) >= quarter:
		a.refreshing = true
		q.wg.Go(func() { q.refresh(a) })
	case now.Sub(last) > patience:
		q.drop(a, ReasonAbandoned)
	}
}

func (q *Queue) refresh(a *ask) {
	q.mu.Lock()
	record, revision := a.record, a.revision
	q.mu.Unlock()
	record.Seen, record.By = q.o.Now(), q.self
	ctx, cancel := q.write()
	defer cancel()
	_, err := q.o.Bucket.Update(ctx, a.key, encode(record), revision)
	if err != nil && !errors.Is(err, bucket.ErrChanged) {
		q.o.Logger.Warn("an ask could not be written again", "error", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	a.refreshing = false
}

// yield has the namespaces that hold more than their share of the turns give
// them back, if others wait: what hangs would hold them to its deadline. The
// youngest jobs are stopped, of which the least is lost, but none that has not
// had its time; they begin again when the turn of a namespace comes that asked
// for them. One that several asked for goes last, but it goes: whoever has two
// namespaces could ask for all from both. All replicas find the same ones, and
// whoever does one stops it.
func (q *Queue) yield(now time.Time) {
	for share, over := range q.accounts.Excess() {
		var list []*lease
		for _, l := range q.leases {
			if l.given && within(l.record.share(), share) && now.Sub(l.since) >= q.o.YieldAfter {
				list = append(list, l)
			}
		}
		slices.SortFunc(list, func(a, b *lease) int {
			return cmp.Or(cmp.Compare(len(q.jobAsks(a.record.Job)), len(q.jobAsks(b.record.Job))), b.since.Compare(a.since), cmp.Compare(a.key, b.key))
		})
		for _, l := range list[:min(over, len(list))] {
			if l.work != nil {
				l.work.cancel(ErrYield)
			}
		}
	}
}

func within(s, account turns.Share) bool {
	return s.Namespace == account.Namespace && (account.Registry == "" || s.Registry == account.Registry)
}

// leaveTimeout bounds the last word of a replica: where the bucket is away the
// others do not hear it.
const leaveTimeout = 2 * time.Second

// leave says that this replica is gone, so that nobody waits for it to die.
func (q *Queue) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := q.o.Bucket.Delete(ctx, memberPrefix+q.o.Replica, 0); err != nil {
		q.o.Logger.Warn("this replica cannot tell the others that it is gone", "error", err)
	}
}
