package scan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/imagegate/imagegate/provider/report"
)

// Why a scan under way is stopped from outside.
var (
	// errYield: others wait for a turn, and its namespace has more than they.
	errYield = errors.New("others wait for the turn")
	// errAbandoned: nobody has asked for it for long.
	errAbandoned = errors.New("nobody has asked for the scan for long; ask again to have it made")
)

// run takes the job through the queue, its attempts and into the store. The
// context is the service's own: an asker who gives up does not end a scan
// that others wait for.
func (s *Service) run(j *job) {
	defer s.end(j)
	for !s.runOnce(j) {
		s.metrics.yielded.Inc()
	}
}

func (s *Service) end(j *job) {
	j.cancel(nil)
	s.mu.Lock()
	delete(s.jobs, s.jobKey(j.task))
	s.mu.Unlock()
	close(j.done)
}

// runOnce waits for a turn and scans. It is false when the job has to wait for
// another turn.
func (s *Service) runOnce(j *job) (over bool) {
	if leader := s.leader(j); leader != nil {
		s.follow(j, leader)
		if s.known(j) {
			return true
		}
	}
	s.metrics.queued.Inc()
	t, err := s.turn(j)
	s.metrics.queued.Dec()
	if err != nil {
		s.refuse(j, err)
		return true
	}
	defer t.done()
	if !s.lead(j) {
		return false
	}
	defer s.unlead(j)
	s.metrics.running.Inc()
	defer s.metrics.running.Dec()
	ctx := j.begin(t.share, s.o.Now())
	defer j.pause()
	if s.known(j) {
		return true
	}
	began := s.o.Now()
	scan, failure := s.attempts(ctx, j)
	if errors.Is(context.Cause(ctx), errYield) && failure != nil {
		return false
	}
	if err := j.stopped(); err != nil && failure != nil {
		s.refuse(j, err)
		return true
	}
	s.finish(j, scan, failure, s.o.Now().Sub(began))
	return true
}

// refuse ends a job of which nothing is known: it is not a failure of the image.
func (s *Service) refuse(j *job, err error) {
	if s.root.Err() != nil {
		j.failed = s.overdue(&report.Failure{Reason: report.ReasonUnavailable, Message: "it waited for its turn"})
		return
	}
	if errors.Is(err, errAbandoned) {
		s.metrics.abandoned.Inc()
	}
	j.refused = err
}

// known ends the job with what came to be known while it waited: a scan by way
// of another credential or registry, or a failure that is the image's own.
func (s *Service) known(j *job) bool {
	if stored, err := s.o.Store.Get(s.root, s.storeKey(j.task)); err == nil && stored != nil && s.freshness(stored) == fresh {
		j.scan = stored
		return true
	}
	if f, _ := s.failures.get(j.task); f != nil {
		j.failed = f
		return true
	}
	return false
}

// finish keeps what the attempts came to.
func (s *Service) finish(j *job, scan *report.Scan, failure *report.Failure, took time.Duration) {
	if failure == nil {
		failure = s.keep(j, scan)
	}
	s.metrics.scanned(took, failure)
	log := s.o.Logger.With("digest", j.task.manifest.Digest, "repository", j.task.resolved.Repository, "duration", took)
	if failure != nil {
		log.Warn("scan failed", "reason", failure.Reason, "message", failure.Message, "error", cause(failure))
		if s.root.Err() == nil {
			s.failures.add(j.task, failure)
		}
		if failure.Reason == report.ReasonUnauthorized {
			s.o.Registry.Refused(s.root, j.task.resolved, j.task.access)
		}
		j.failed = failure
		return
	}
	s.failures.remove(j.task)
	log.Info("scan finished", "scanner", scan.Scanner, "findings", len(scan.Vulnerabilities))
	j.scan = scan
}

// attempts scans until it works, fails for good, or has been tried enough.
func (s *Service) attempts(ctx context.Context, j *job) (*report.Scan, *report.Failure) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Deadline)
	defer cancel()
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = s.o.RetryInitial, s.o.RetryMax
	for attempt := 1; ; attempt++ {
		scan, failure := s.attempt(ctx, j)
		switch {
		case failure == nil:
			return scan, nil
		case ctx.Err() != nil:
			return nil, s.overdue(failure)
		case !failure.Transient() || attempt >= s.o.Attempts:
			return nil, failure
		case failure.RetryAfter > s.o.RetryMax:
			// Too long to hold a worker for. The failure is remembered until
			// then, and the next ask begins a new scan.
			return nil, failure
		}
		j.setLast(failure)
		s.metrics.retries.Inc()
		s.o.Logger.Info("scan will be tried again", "digest", j.task.manifest.Digest, "attempt", attempt, "message", failure.Message, "error", cause(failure))
		select {
		case <-time.After(max(pauses.NextBackOff(), failure.RetryAfter)):
		case <-ctx.Done():
			return nil, s.overdue(failure)
		}
	}
}

func (s *Service) attempt(ctx context.Context, j *job) (_ *report.Scan, failure *report.Failure) {
	defer func() {
		if p := recover(); p != nil {
			failure = bounded(report.Crashed(p))
		}
	}()
	auth, err := s.authorization(ctx, j)
	if err != nil {
		return nil, bounded(report.FailureOf(err))
	}
	image := j.task.image()
	image.Authorization, image.Share = auth, j.behalf()
	scan, err := s.o.Scanner.Scan(ctx, image)
	if err != nil {
		return nil, bounded(report.FailureOf(err))
	}
	if err := s.counts(scan, image.Digest); err != nil {
		return nil, bounded(report.FailureOf(err))
	}
	return scan, nil
}

// authorization opens the image for the scanner, by way of whichever asker still
// holds the credential: who asked first may have taken it away.
func (s *Service) authorization(ctx context.Context, j *job) (auth string, err error) {
	for _, access := range j.accesses() {
		if auth, err = s.o.Registry.Authorization(ctx, j.task.resolved, access); err == nil {
			return auth, nil
		}
	}
	return "", err
}

// overdue words the end of a scan's own time, which the last attempt's error
// ("context deadline exceeded") would hide.
func (s *Service) overdue(last *report.Failure) *report.Failure {
	if s.root.Err() != nil {
		return &report.Failure{Reason: report.ReasonUnavailable, Message: "the provider is shutting down", Err: last}
	}
	return &report.Failure{
		Reason:  report.ReasonTimeout,
		Message: fmt.Sprintf("the scan did not end within %s; last attempt: %s", s.o.Deadline, last.Message),
		Err:     last,
	}
}

// keep stores a scan. A scan that cannot be stored failed: reported from
// memory alone it would be gone with the next ask and be made again for ever.
func (s *Service) keep(j *job, scan *report.Scan) *report.Failure {
	key := s.storeKey(j.task)
	report.SortVulnerabilities(scan.Vulnerabilities)
	scan.ReceivedAt = s.o.Now()
	if n := len(scan.Inner); n > s.o.FindingsBytes {
		scan.Inner, scan.InnerLeftOut = nil, n // no view can ever send it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.root), storeTimeout)
	defer cancel()
	if _, err := s.o.Store.Put(ctx, j.behalf(), key, scan); err != nil {
		return &report.Failure{Reason: report.ReasonUnavailable, Message: "the report store is unavailable", Err: fmt.Errorf("storing the scan of %s: %w", key, err)}
	}
	return nil
}

// storeTimeout bounds one write of a finished scan.
const storeTimeout = 10 * time.Second
