package queue

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Item is an ask as those see it who run the system.
type Item struct {
	// Job tells it from others. Jobs of one name are one.
	Job       string
	Namespace string
	Registry  string
	Asked     time.Time
	// Holder is the replica that does the job now, since Since by its clock; empty
	// while it waits.
	Holder string
	Since  time.Time
	// Attempt counts those begun, Last is what the latest that failed said.
	Attempt int
	Last    string
	Work    json.RawMessage
}

// List returns what is asked for, the oldest first.
func (q *Queue) List() []Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]Item, 0, len(q.asks))
	for _, a := range q.asks {
		list = append(list, q.item(a))
	}
	slices.SortFunc(list, func(a, b Item) int {
		return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Namespace, b.Namespace))
	})
	return list
}

func (q *Queue) item(a *ask) Item {
	r := a.record
	i := Item{Job: a.job.token, Namespace: r.Namespace, Registry: r.Registry, Asked: r.Asked, Work: r.Work}
	if l := q.leaseOf(a.job); l != nil {
		i.Holder, _, _ = strings.Cut(l.record.Holder, "/")
		i.Since, i.Attempt, i.Last = l.record.Began, l.record.Attempt, l.record.Last
	}
	return i
}

// leaseOf is the lease by which a job is being done, or nil.
func (q *Queue) leaseOf(j *job) *lease {
	for _, key := range []string{leasePrefix + j.token, leasePrefix + j.group} {
		if l := q.leases[key]; l != nil && l.record.Job == j.token && !l.contested && q.holds(l) {
			return l
		}
	}
	return nil
}

// Purge takes the asks off the queue that match, and stops the jobs that nobody
// asks for then. It returns how many there were.
func (q *Queue) Purge(match func(Item) bool) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, a := range q.asks {
		if match(q.item(a)) {
			q.drop(a, ReasonPurged)
			n++
		}
	}
	return n
}

// Depth is how much there is to do, over all replicas.
type Depth struct {
	// Waiting asks have no slot, Running jobs have one of Slots.
	Waiting, Running, Slots int
}

// Slots is how many jobs all replicas that are alive can do at once.
func (q *Queue) Slots() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.accounts.Limits().Turns
}

// Depth returns it.
func (q *Queue) Depth() Depth {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := Depth{Running: q.accounts.Held(), Slots: q.accounts.Limits().Turns}
	for _, a := range q.asks {
		if q.leaseOf(a.job) == nil {
			d.Waiting++
		}
	}
	return d
}
