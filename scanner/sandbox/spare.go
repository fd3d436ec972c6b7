package sandbox

import (
	"sync"
	"time"
)

// WarmUp is the argument that has a child prepare itself for listing packages
// before its request comes.
const WarmUp = "--warm-up"

// idle is how long no scan must have run before a spare child is prepared: it
// would take the processor from them.
const idle = time.Second

// spare is a child that has done, before there is a request, what takes long and
// is the same for all images. Like every child it scans once.
type spare struct {
	mu      sync.Mutex
	process *process
	running int
	renewal *time.Timer
	closed  bool
}

// Prepare starts a spare child soon, if the runner keeps one.
func (r *Runner) Prepare() {
	r.spare.mu.Lock()
	defer r.spare.mu.Unlock()
	r.renewLater()
}

// Close ends the spare child. Scans must have ended.
func (r *Runner) Close() {
	s := &r.spare
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.renewal != nil {
		s.renewal.Stop()
	}
	if s.process != nil {
		r.discard(s.process)
		s.process = nil
	}
}

// begin counts a scan and returns the spare child, if there is one and it is of
// use: an image whose packages are listed needs no preparation.
func (r *Runner) begin(listed bool) *process {
	s := &r.spare
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	p := s.process
	if listed || p == nil {
		return nil
	}
	s.process = nil
	select {
	case <-p.ended: // nothing was asked of it, so something has killed it
		r.discard(p)
		return nil
	default:
		return p
	}
}

func (r *Runner) end() {
	r.spare.mu.Lock()
	defer r.spare.mu.Unlock()
	r.spare.running--
	r.renewLater()
}

// renewLater is called with the lock held.
func (r *Runner) renewLater() {
	s := &r.spare
	if !r.Warm || s.closed || s.running > 0 || s.process != nil {
		return
	}
	if s.renewal != nil {
		s.renewal.Stop()
	}
	s.renewal = time.AfterFunc(idle, r.renew)
}

func (r *Runner) renew() {
	s := &r.spare
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.running > 0 || s.process != nil {
		return
	}
	p, err := r.start(WarmUp)
	if err != nil {
		r.Log.Warn("no scan process could be prepared; the next scan takes longer", "error", err)
		return
	}
	s.process = p
}

// discard ends a child that nothing was asked of.
func (r *Runner) discard(p *process) {
	killGroup(p.cmd.Process.Pid)
	<-p.ended
	r.remove(p.dir)
}
