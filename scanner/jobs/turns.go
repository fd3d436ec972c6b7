package jobs

import (
	"cmp"
	"slices"
)

// turns are the jobs that wait, and how many run, by who shares a worker: the
// slots go round, whoever has the fewest first. Within a share they go round
// among its registries in the same way. It is not safe for concurrent use.
type turns struct {
	// most is how many jobs of one share may run at once.
	most   int
	shares map[string]*share
	length int
	clock  uint64
}

// share is what waits and runs for one of those who share the worker.
type share struct {
	turn
	registries map[string]*line
}

// line are the jobs of one registry within a share.
type line struct {
	turn
	jobs []*job
}

// turn orders those who wait for a slot.
type turn struct {
	running int
	served  uint64 // when last
}

func (t turn) before(o turn) int {
	return cmp.Or(cmp.Compare(t.running, o.running), cmp.Compare(t.served, o.served))
}

func newTurns(most int) *turns { return &turns{most: most, shares: map[string]*share{}} }

func (s *share) waiting() int {
	n := 0
	for _, l := range s.registries {
		n += len(l.jobs)
	}
	return n
}

// line returns the place of a job, and makes it. A share that comes anew has its
// turn after those that were served, not before all others.
func (t *turns) line(j *job) (*share, *line) {
	s := t.shares[j.share]
	if s == nil {
		s = &share{registries: map[string]*line{}}
		t.shares[j.share] = s
	}
	l := s.registries[j.registry]
	if l == nil {
		l = &line{}
		s.registries[j.registry] = l
	}
	return s, l
}

func (t *turns) add(j *job) {
	_, l := t.line(j)
	l.jobs = append(l.jobs, j)
	t.length++
}

// next takes out the job whose turn it is, and counts it as running; nil when
// none may run.
func (t *turns) next() *job {
	var s *share
	for _, other := range t.shares {
		if other.running < t.most && other.waiting() > 0 && (s == nil || other.before(s.turn) < 0) {
			s = other
		}
	}
	if s == nil {
		return nil
	}
	var l *line
	for _, other := range s.registries {
		if len(other.jobs) > 0 && (l == nil || other.before(l.turn) < 0) {
			l = other
		}
	}
	j := l.jobs[0]
	l.jobs = slices.Delete(l.jobs, 0, 1)
	t.length--
	t.clock++
	s.served, l.served = t.clock, t.clock
	s.running++
	l.running++
	return j
}

// done says that a job that next gave has ended.
func (t *turns) done(j *job) {
	s, l := t.line(j)
	s.running--
	l.running--
	t.forget(j)
}

// remove takes out a job if it waits.
func (t *turns) remove(j *job) {
	_, l := t.line(j)
	if i := slices.Index(l.jobs, j); i >= 0 {
		l.jobs = slices.Delete(l.jobs, i, i+1)
		t.length--
	}
	t.forget(j)
}

// forget drops the places that nobody takes any more: their names are
// strangers'.
func (t *turns) forget(j *job) {
	s, l := t.line(j)
	if l.running == 0 && len(l.jobs) == 0 {
		delete(s.registries, j.registry)
	}
	if s.running == 0 && len(s.registries) == 0 {
		delete(t.shares, j.share)
	}
}

// giveWay names the job that makes room for a new one of a share in a full
// queue: the last of whoever has the most that wait, when that is more than the
// share would have. Nil means that there is no room.
func (t *turns) giveWay(j *job) *job {
	s, own := t.line(j)
	defer t.forget(j)
	largest := s
	for _, other := range t.shares {
		if other.waiting() > largest.waiting() {
			largest = other
		}
	}
	if largest != s && largest.waiting() <= s.waiting()+1 {
		largest = s
	}
	var longest *line
	for _, l := range largest.registries {
		if longest == nil || len(l.jobs) > len(longest.jobs) {
			longest = l
		}
	}
	if longest == nil || largest == s && len(longest.jobs) <= len(own.jobs)+1 {
		return nil
	}
	return longest.jobs[len(longest.jobs)-1]
}
