package scan

import (
	"context"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/turns"
)

// turn is a job's place among the scans under way.
type turn struct {
	share turns.Share
	done  func() // may be called again
	err   error
}

// turn waits until one of the namespaces that asked for the job has a turn for
// it: whoever asked first may have a thousand others waiting.
func (s *Service) turn(j *job) (turn, error) {
	ctx, cancel := context.WithCancel(j.ctx)
	defer cancel()
	came := make(chan turn)
	queues := 0 // under j.mu
	enter := func(namespace string) {
		queues++
		share := j.task.account(namespace)
		s.wg.Go(func() {
			done, err := s.turns.Take(ctx, share)
			if err == nil {
				done = sync.OnceFunc(done)
			}
			select {
			case came <- turn{share: share, done: done, err: err}:
			case <-ctx.Done():
				if err == nil {
					done()
				}
			}
		})
	}
	j.mu.Lock()
	j.enter = enter
	for namespace := range j.askers {
		enter(namespace)
	}
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		j.enter = nil
		j.mu.Unlock()
	}()
	for {
		select {
		case t := <-came:
			if t.err == nil {
				return t, nil
			}
			j.mu.Lock()
			queues--
			none := queues == 0
			if none {
				j.enter = nil
			}
			delete(j.askers, t.share.Namespace) // who asks again is queued again
			j.mu.Unlock()
			if none {
				return turn{}, errQueueFull
			}
		case <-j.ctx.Done():
			return turn{}, context.Cause(j.ctx)
		}
	}
}

// leader returns the job that scans the image now for which j has to wait: with
// another credential, but what it makes serves this one too. So the scans that
// several credentials ask for are made one after another, and only until one is
// finished.
func (s *Service) leader(j *job) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	leader := s.leaders[j.task.key()]
	if leader == nil || !j.isPatient() {
		return nil
	}
	return leader
}

// lead makes the job the one that scans its image. It is false when there is one
// already for which the job has to wait.
func (s *Service) lead(j *job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := j.task.key()
	if s.leaders[key] == nil {
		s.leaders[key] = j
		return true
	}
	return !j.isPatient()
}

func (s *Service) unlead(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := j.task.key(); s.leaders[key] == j {
		delete(s.leaders, key)
	}
}

// follow waits without a turn for what the leader makes, but not for long: it
// may hang because of its credential.
func (s *Service) follow(j, leader *job) {
	timer := time.NewTimer(s.o.YieldAfter)
	defer timer.Stop()
	select {
	case <-leader.done:
	case <-timer.C:
		j.losePatience()
	case <-j.ctx.Done():
	}
}
