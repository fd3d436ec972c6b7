package scan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

// job is one scan, waiting or under way. All askers of its key share it.
type job struct {
	task task
	done chan struct{} // closed when one of the following is set
	scan *report.Scan
	// failed is why there is no scan, refused why none was made.
	failed  *report.Failure
	refused error

	// ctx ends with the job, by cancel with a reason.
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu sync.Mutex
	// askers are the namespaces that asked.
	askers map[string]asker
	// waiting is how many askers wait now, asked when one last did.
	waiting int
	asked   time.Time
	// enter queues the job for another namespace; nil unless it waits for a turn.
	enter func(namespace string)
	// share and began are the turn it has; stop ends the attempts under way and
	// is nil unless there are some.
	share turns.Share
	began time.Time
	stop  context.CancelCauseFunc
	// patient is true while it may still wait for another credential's scan.
	patient bool
	last    *report.Failure // of the latest attempt that will be tried again
}

// asker is what a job knows of a namespace that asked for it.
type asker struct {
	since  time.Time
	access registry.Access
}

// errQueueFull is not a failure of the image: nothing was tried.
var errQueueFull = errors.New("too many scans are waiting already; try again later")

// start returns the job for the task, running or begun now, with one more asker
// that waits. The asker leaves it when it waits no longer.
func (s *Service) start(t task) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root.Err() != nil {
		return nil, errors.New("the provider is shutting down")
	}
	key := s.jobKey(t)
	j, ok := s.jobs[key]
	if !ok {
		j = &job{task: t, done: make(chan struct{}), askers: map[string]asker{}, patient: true}
		j.ctx, j.cancel = context.WithCancelCause(s.root)
		s.jobs[key] = j
	}
	j.ask(t.access, s.o.Now())
	if !ok {
		s.wg.Go(func() { s.run(j) })
	}
	return j, nil
}

// ask counts an asker in. A job that waits for its turn waits in the asker's
// namespace's queue as well from now on: whose turn comes first is its turn.
func (j *job) ask(access registry.Access, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = now
	j.waiting++
	before, ok := j.askers[access.Namespace]
	if ok {
		now = before.since
	}
	j.askers[access.Namespace] = asker{since: now, access: access}
	if !ok && j.enter != nil {
		j.enter(access.Namespace)
	}
}

// accesses returns through whose access the image can be opened: the first
// asker's, and that of a few more.
func (j *job) accesses() []registry.Access {
	const most = 8
	j.mu.Lock()
	defer j.mu.Unlock()
	list := []registry.Access{j.task.access}
	for _, a := range j.askers {
		if len(list) == most {
			break
		}
		list = append(list, a.access)
	}
	return list
}

// leave counts an asker out.
func (j *job) leave(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = now
	j.waiting--
}

// since returns when the namespace began to ask.
func (j *job) since(namespace string, now time.Time) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a, ok := j.askers[namespace]; ok {
		return a.since
	}
	return now
}

// begin marks that the job has a turn, and returns the context of its attempts.
func (j *job) begin(share turns.Share, now time.Time) context.Context {
	j.mu.Lock()
	defer j.mu.Unlock()
	ctx, stop := context.WithCancelCause(j.ctx)
	j.share, j.began, j.stop = share, now, stop
	return ctx
}

// pause marks that the job has no turn any more.
func (j *job) pause() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stop(nil)
	j.stop = nil
}

// behalf is whose turn the job has.
func (j *job) behalf() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.share.Namespace
}

// stopped returns why the job was stopped as a whole, or nil.
func (j *job) stopped() error {
	if err := context.Cause(j.ctx); errors.Is(err, errAbandoned) {
		return err
	}
	return nil
}

func (j *job) isPatient() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.patient
}

func (j *job) losePatience() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.patient = false
}

func (j *job) setLast(f *report.Failure) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = f
}

// progress says for a pending report what is going on.
func (j *job) progress(namespace string, now time.Time) string {
	asked := j.since(namespace, now)
	j.mu.Lock()
	defer j.mu.Unlock()
	msg := fmt.Sprintf("the scan was asked for %s ago and is not finished; try again shortly",
		now.Sub(asked).Round(time.Second))
	if j.last != nil {
		msg += "; last attempt: " + j.last.Message
	}
	return msg
}
