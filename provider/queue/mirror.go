package queue

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/turns"
)

// mirror is the queue as this replica knows it, under Queue.mu: what is in the
// bucket, and of its own what is being written.
type mirror struct {
	asks    map[string]*ask              // by key
	jobs    map[string]*job              // by token
	groups  map[string]map[*job]struct{} // by token
	results map[string]map[*ask]struct{} // by token
	leases  map[string]*lease            // by key
	members map[string]*member           // by replica
	askers  map[string]int               // asks of each namespace that has any

	accounts *turns.Accounts[*ask]
	// taken counts the slots of this replica that are in use.
	taken int
	// beats counts the heartbeats of this replica that it has seen come back.
	beats uint64
	// reading is the number of the watch's present reading of the bucket.
	reading uint64
}

func newMirror() mirror {
	return mirror{
		asks: map[string]*ask{}, jobs: map[string]*job{}, groups: map[string]map[*job]struct{}{},
		results: map[string]map[*ask]struct{}{}, leases: map[string]*lease{}, members: map[string]*member{}, askers: map[string]int{},
		accounts: turns.NewAccounts[*ask](turns.Limits{}),
	}
}

// ask is one namespace's wish for a job.
type ask struct {
	key      string
	record   askRecord
	job      *job
	revision uint64 // zero while it is being written
	reading  uint64
	// written is closed when it is in the bucket, or cannot be.
	written chan struct{}
	// place is its place among those who wait; nil while its job need not.
	place *turns.Place[*ask]
	// first and changed are when this replica first saw it and saw it changed,
	// local when somebody last asked for it here; waiting counts those who stay.
	first, changed, local time.Time
	waiting               int
	// refreshing is true while it is written again.
	refreshing bool
	// known is what the asker here knows of the job beside its record.
	known any
}

// job is what its asks have in common.
type job struct {
	token, group string
	asks         map[*ask]struct{}
	// waiters are those who wait for it here; nil when nobody has.
	waiters *waiters
	// blocked is since when another job of its group has kept it waiting;
	// impatient says that it waits for none of them any longer.
	blocked   time.Time
	impatient bool
}

// lease is a job that is being done.
type lease struct {
	key      string
	record   leaseRecord
	revision uint64 // zero while it is being written
	reading  uint64
	since    time.Time // when this replica first saw it
	// given says that its turn is in the accounts.
	given bool
	// contested says that another replica was first, and is not known yet.
	contested bool
	// work is the job under way in this process.
	work *Work
	// ended are the asks that its outcome is for, to be removed with it.
	ended []*ask
}

type member struct {
	record   memberRecord
	revision uint64
	reading  uint64
	beat     uint64    // the count of own heartbeats when it was last seen
	seen     time.Time // the same by the clock, for people
	// foreign says that its record cannot be read, and is empty.
	foreign bool
}

// alive reports whether a replica has given a sign of life lately.
func (q *Queue) alive(m *member) bool { return q.beats-m.beat < missed }

// holds reports whether a lease stands: its holder is there and has not ended.
func (q *Queue) holds(l *lease) bool {
	if l.contested {
		return true
	}
	if l.record.Over != nil {
		return false
	}
	if l.record.foreign {
		return q.foreigners()
	}
	replica, incarnation, _ := strings.Cut(l.record.Holder, "/")
	if l.record.Holder == q.self {
		return true
	}
	m := q.members[replica]
	return m != nil && m.record.Incarnation == incarnation && q.alive(m)
}

// foreigners reports whether a replica is alive whose records cannot be read.
func (q *Queue) foreigners() bool {
	for _, m := range q.members {
		if m.foreign && q.alive(m) {
			return true
		}
	}
	return false
}

// see takes in one change.
func (q *Queue) see(e bucket.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch e.Kind {
	case bucket.Reset:
		q.reading++
	case bucket.Synced:
		q.forgetGone()
		select {
		case <-q.synced:
		default:
			close(q.synced)
		}
	case bucket.Wrote:
		switch key := e.Entry.Key; {
		case strings.HasPrefix(key, askPrefix):
			q.sawAsk(e.Entry)
		case strings.HasPrefix(key, leasePrefix):
			q.sawLease(e.Entry)
		case strings.HasPrefix(key, memberPrefix):
			q.sawMember(e.Entry)
		}
	case bucket.Deleted:
		switch key := e.Entry.Key; {
		case strings.HasPrefix(key, askPrefix):
			if a := q.asks[key]; a != nil && a.revision != 0 && a.revision < e.Entry.Revision {
				q.remove(a, a.record.Over.err())
			}
		case strings.HasPrefix(key, leasePrefix):
			if l := q.leases[key]; l != nil && l.revision < e.Entry.Revision && l.revision != 0 {
				q.dropLease(l)
			}
		case strings.HasPrefix(key, memberPrefix):
			if m := q.members[strings.TrimPrefix(key, memberPrefix)]; m != nil && m.revision < e.Entry.Revision {
				delete(q.members, strings.TrimPrefix(key, memberPrefix))
				q.membersChanged()
			}
		}
	}
	q.assign()
}

// forgetGone removes what a new reading of the bucket did not bring again.
func (q *Queue) forgetGone() {
	for name, m := range q.members {
		if m.reading < q.reading {
			delete(q.members, name)
		}
	}
	for _, l := range q.leases {
		if l.reading < q.reading && l.revision != 0 {
			q.dropLease(l)
		}
	}
	for _, a := range q.asks {
		if a.reading < q.reading && a.revision != 0 {
			q.remove(a, ErrUnknown)
		}
	}
	q.membersChanged()
}

// read decodes a record of this version.
func (q *Queue) read(e bucket.Entry, into any, v *int) bool {
	if err := json.Unmarshal(e.Value, into); err != nil {
		q.o.Logger.Warn("a record of the scan queue cannot be read", "key", e.Key, "error", err)
		return false
	}
	return *v == version
}

func (q *Queue) sawAsk(e bucket.Entry) {
	var r askRecord
	if !q.read(e, &r, &r.Version) {
		return
	}
	a := q.asks[e.Key]
	if a == nil {
		a = q.enter(e.Key, r)
		close(a.written)
	}
	if e.Revision < a.revision {
		a.reading = q.reading
		return
	}
	a.record, a.revision, a.reading, a.changed = r, e.Revision, q.reading, q.o.Now()
	if r.Over != "" {
		q.remove(a, r.Over.err())
		return
	}
	q.settle(a.job)
}

// enter adds an ask that is not there.
func (q *Queue) enter(key string, r askRecord) *ask {
	now := q.o.Now()
	a := &ask{key: key, record: r, reading: q.reading, written: make(chan struct{}), first: now, changed: now, local: now}
	token := jobOf(key)
	j := q.jobs[token]
	if j == nil {
		j = &job{token: token, group: r.Group, asks: map[*ask]struct{}{}}
		q.jobs[token] = j
		if q.groups[r.Group] == nil {
			q.groups[r.Group] = map[*job]struct{}{}
		}
		q.groups[r.Group][j] = struct{}{}
	}
	a.job = j
	j.asks[a] = struct{}{}
	if q.results[r.Result] == nil {
		q.results[r.Result] = map[*ask]struct{}{}
	}
	q.results[r.Result][a] = struct{}{}
	q.asks[key] = a
	q.askers[r.Namespace]++
	return a
}

// remove takes an ask out. Where it was the last of its job, and nothing came of
// that, those who wait are told why.
func (q *Queue) remove(a *ask, why error) {
	if q.asks[a.key] != a {
		return
	}
	delete(q.asks, a.key)
	if q.askers[a.record.Namespace]--; q.askers[a.record.Namespace] == 0 {
		delete(q.askers, a.record.Namespace)
	}
	if a.place != nil {
		q.accounts.Leave(a.place)
		a.place = nil
	}
	delete(q.results[a.record.Result], a)
	if len(q.results[a.record.Result]) == 0 {
		delete(q.results, a.record.Result)
	}
	j := a.job
	delete(j.asks, a)
	if len(j.asks) > 0 {
		return
	}
	delete(q.jobs, j.token)
	delete(q.groups[j.group], j)
	if len(q.groups[j.group]) == 0 {
		delete(q.groups, j.group)
	}
	q.conclude(j, Outcome{}, why)
	for _, key := range []string{leasePrefix + j.group, leasePrefix + j.token} {
		if l := q.leases[key]; l != nil && l.work != nil && l.record.Job == j.token {
			l.work.cancel(ErrAbandoned)
		}
	}
}

// conclude tells those who wait here for a job what came of it.
func (q *Queue) conclude(j *job, o Outcome, err error) {
	if j.waiters == nil {
		return
	}
	j.waiters.outcome, j.waiters.err = o, err
	close(j.waiters.done)
	j.waiters = nil
}

func (q *Queue) sawLease(e bucket.Entry) {
	var r leaseRecord
	if !q.read(e, &r, &r.Version) {
		r = leaseRecord{Group: strings.TrimPrefix(e.Key, leasePrefix), foreign: true}
	}
	l := q.leases[e.Key]
	if l == nil {
		l = &lease{key: e.Key, since: q.o.Now()}
		q.leases[e.Key] = l
	}
	l.reading = q.reading
	if e.Revision <= l.revision {
		return
	}
	if l.work != nil && r.Holder != q.self {
		l.work.lose()
		l.work = nil
	}
	if r.Holder != l.record.Holder || r.Job != l.record.Job {
		l.since = q.o.Now()
	}
	q.take(l, false)
	l.record, l.revision, l.contested = r, e.Revision, false
	if l.work != nil {
		l.work.heard()
	}
	if r.Over != nil {
		l.since = q.o.Now()
		q.over(l)
		if r.Holder == q.self {
			q.later(l)
		}
	}
	q.settleLease(l)
}

// take has the accounts hold the turn of a lease, or not.
func (q *Queue) take(l *lease, given bool) {
	if l.given == given {
		return
	}
	l.given = given
	if given {
		q.accounts.Give(l.record.share())
	} else {
		q.accounts.GiveBack(l.record.share())
	}
}

// settleLease brings the accounts and the jobs that a lease concerns in line
// with whether it stands.
func (q *Queue) settleLease(l *lease) {
	q.take(l, q.holds(l) && !l.contested && !l.record.foreign)
	q.settleJobs(l)
}

// settleJobs settles the jobs that a lease concerns.
func (q *Queue) settleJobs(l *lease) {
	for j := range q.groups[l.record.Group] {
		q.settle(j)
	}
	if !l.record.foreign {
		return
	}
	if j := q.jobs[l.record.Group]; j != nil {
		q.settle(j) // it may be a job's
	}
}

func (q *Queue) dropLease(l *lease) {
	if l.work != nil {
		l.work.lose()
	}
	delete(q.leases, l.key)
	q.take(l, false)
	q.settleJobs(l)
}

// settle has the asks of a job wait for a turn, or not, by whether it is done
// already or has to wait for another job of its group.
func (q *Queue) settle(j *job) {
	waits := true
	if own := q.leases[leasePrefix+j.token]; own != nil && q.holds(own) {
		waits = false
	}
	if l := q.leases[leasePrefix+j.group]; l != nil && q.holds(l) {
		if l.record.Job == j.token || l.record.foreign {
			waits = false
		} else {
			if j.blocked.IsZero() {
				j.blocked = q.o.Now()
			}
			waits = waits && j.impatient
		}
	} else {
		j.blocked = time.Time{}
	}
	for a := range j.asks {
		switch {
		case waits && a.place == nil:
			a.place = q.accounts.Enter(a.record.share(), a)
		case !waits && a.place != nil:
			q.accounts.Leave(a.place)
			a.place = nil
		}
	}
}

// over ends the asks that an outcome is for. Those that came after it stay: who
// does them will see that there is nothing left to do.
func (q *Queue) over(l *lease) {
	o := *l.record.Over
	if q.o.Saw != nil {
		q.o.Saw(o)
	}
	l.ended = q.concerned(l)
	for _, a := range l.ended {
		q.conclude(a.job, o, nil)
		q.remove(a, ErrUnknown)
	}
}

// concerned are the asks that the outcome of a lease ends.
func (q *Queue) concerned(l *lease) (list []*ask) {
	older := func(a *ask) bool { return a.revision != 0 && a.revision < l.revision }
	switch l.record.Over.Scope {
	case OfResult:
		for a := range q.results[l.record.Result] {
			if older(a) {
				list = append(list, a)
			}
		}
	case OfGroup:
		for j := range q.groups[l.record.Group] {
			for a := range j.asks {
				if older(a) {
					list = append(list, a)
				}
			}
		}
	default:
		if j := q.jobs[l.record.Job]; j != nil {
			for a := range j.asks {
				if older(a) {
					list = append(list, a)
				}
			}
		}
	}
	return list
}

func (q *Queue) sawMember(e bucket.Entry) {
	var r memberRecord
	foreign := !q.read(e, &r, &r.Version)
	if foreign {
		r = memberRecord{}
	}
	name := strings.TrimPrefix(e.Key, memberPrefix)
	m := q.members[name]
	if m == nil {
		m = &member{}
		q.members[name] = m
	}
	m.reading = q.reading
	if e.Revision <= m.revision {
		return
	}
	if q.own(name, r) {
		q.beats++
	}
	m.record, m.foreign, m.revision, m.beat, m.seen = r, foreign, e.Revision, q.beats, q.o.Now()
	q.membersChanged()
}

// own says that it is the sign of life of this process, not of one of its name before it.
func (q *Queue) own(name string, r memberRecord) bool { return name+"/"+r.Incarnation == q.self }

// membersChanged counts the slots there are, and looks at all leases again.
func (q *Queue) membersChanged() {
	q.limit()
	for _, l := range q.leases {
		q.settleLease(l)
	}
}
