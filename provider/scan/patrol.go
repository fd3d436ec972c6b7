package scan

import (
	"time"

	"github.com/imagegate/imagegate/provider/turns"
)

// patrolEvery is how often the jobs are looked through.
const patrolEvery = time.Second

// patrol ends what nobody needs, and what stands in others' way.
func (s *Service) patrol() {
	tick := time.NewTicker(patrolEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.dropAbandoned()
			s.yieldExcess()
		case <-s.root.Done():
			return
		}
	}
}

// underway returns the jobs there are.
func (s *Service) underway() []*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := make([]*job, 0, len(s.jobs))
	for _, j := range s.jobs {
		jobs = append(jobs, j)
	}
	return jobs
}

// dropAbandoned ends the jobs that nobody has asked for for long. Askers do not
// stay: Gatekeeper's leave within a second and come back with the controller's
// next retry, so that alone does not make a job needless.
func (s *Service) dropAbandoned() {
	now := s.o.Now()
	for _, j := range s.underway() {
		j.mu.Lock()
		needless := j.waiting == 0 && now.Sub(j.asked) > s.o.AbandonAfter
		j.mu.Unlock()
		if needless {
			j.cancel(errAbandoned)
		}
	}
}

// yieldExcess has the namespaces that hold more than their share of the turns
// give one back each, if others wait: what hangs would hold them to its
// deadline. The youngest scan is stopped, of which the least is lost, but none
// that has not had its time; it begins again when the turn of a namespace comes
// that asked for it. One that several asked for goes last, but it goes: whoever
// has two namespaces could ask for all from both.
func (s *Service) yieldExcess() {
	over := s.turns.Excess()
	if len(over) == 0 {
		return
	}
	jobs := s.underway()
	for share := range over {
		var youngest *job
		var began time.Time
		var askers int
		for _, j := range jobs {
			at, by, ok := j.excessive(share)
			if !ok || s.o.Now().Sub(at) < s.o.YieldAfter {
				continue
			}
			if youngest == nil || by < askers || by == askers && at.After(began) {
				youngest, began, askers = j, at, by
			}
		}
		if youngest != nil {
			youngest.yield()
		}
	}
}

// excessive reports whether the job holds a turn of the share, since when, and
// how many namespaces asked for it.
func (j *job) excessive(share turns.Share) (began time.Time, askers int, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ok = j.stop != nil && j.share.Namespace == share.Namespace &&
		(share.Registry == "" || j.share.Registry == share.Registry)
	return j.began, len(j.askers), ok
}

func (j *job) yield() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stop != nil {
		j.stop(errYield)
	}
}
