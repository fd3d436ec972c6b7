package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/report"
)

// ended is what came of a scan, as replicas tell each other.
type ended struct {
	// Key is what the scan is, or would be, stored under, and Revision of the store
	// from which on it is there.
	Key      string         `json:"key,omitempty"`
	Revision uint64         `json:"revision,omitempty"`
	Failure  *failureRecord `json:"failure,omitempty"`
}

func (e ended) outcome(scope queue.Scope) *queue.Outcome {
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("encoding an outcome: %v", err)) // strings and numbers
	}
	return &queue.Outcome{Scope: scope, Detail: b}
}

// learned takes in what came of a scan, wherever it was made.
func (s *Service) learned(o queue.Outcome) {
	var e ended
	if err := json.Unmarshal(o.Detail, &e); err != nil {
		s.o.Logger.Warn("an outcome of the scan queue cannot be read", "error", err)
		return
	}
	if e.Failure != nil {
		s.failures.learn(*e.Failure)
		if e.Failure.failure().Lasting() {
			s.o.Nudger.Ended(e.Key)
		}
		return
	}
	if e.Revision > 0 {
		s.latest.Add(e.Key, e.Revision)
	}
	s.o.Nudger.Ended(e.Key)
}

// maxLatest is how many scans that just ended are remembered with the revision
// of the store that has them: what this replica reads of it may be older.
const maxLatest = 4096

// work scans what the queue has given to this replica: its attempts, and into
// the store. It returns nil to hand it back.
func (s *Service) work(ctx context.Context, w *queue.Work) *queue.Outcome {
	wishes := w.Wishes()
	if len(wishes) == 0 {
		return nil // nobody asks any more
	}
	t, err := taskOf(wishes[0])
	if err != nil {
		return s.failure(t, &report.Failure{Reason: report.ReasonInternal, Message: "the queued scan cannot be read by this version of the provider", Err: err})
	}
	if e := s.known(ctx, t); e != nil {
		return e
	}
	if w.Attempt() > s.o.Attempts {
		return s.failure(t, &report.Failure{
			Reason:  report.ReasonCrash,
			Message: fmt.Sprintf("its scan was begun %d times, and each time the provider's process that made it ended before it", s.o.Attempts),
		})
	}
	s.metrics.running.Inc()
	defer s.metrics.running.Dec()
	began := s.o.Now()
	scan, failure := s.attempts(ctx, t, w)
	if failure != nil && ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), queue.ErrYield) {
			s.metrics.yielded.Inc()
		}
		return nil
	}
	return s.finish(ctx, t, scan, failure, w.Share().Namespace, s.o.Now().Sub(began))
}

// taskOf is the task of a wish: as it was resolved here, or as it was written
// down elsewhere.
func taskOf(w queue.Wish) (task, error) {
	if t, ok := w.Known.(task); ok {
		return t, nil
	}
	var o Order
	err := json.Unmarshal(w.Work, &o)
	return o.task(), err
}

// known is what came to be known of a task while it waited: a scan by way of
// another credential, registry or replica, or a failure that stands for it.
func (s *Service) known(ctx context.Context, t task) *queue.Outcome {
	key := s.storeKey(t)
	revision, _ := s.latest.Get(key)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	stored, err := s.o.Store.Look(ctx, key, revision)
	for err != nil && ctx.Err() == nil {
		pause(ctx, storePause) // a scan costs more than to wait for a store that is slow for a moment
		stored, err = s.o.Store.Look(ctx, key, revision)
	}
	if err == nil && stored != nil && s.freshness(stored) == fresh {
		return ended{Key: key, Revision: revision}.outcome(queue.OfResult)
	}
	if f := s.failures.standing(t); f != nil && f.At.After(t.retried) {
		return ended{Key: key, Failure: f}.outcome(f.scope())
	}
	return nil
}

// finish keeps what the attempts came to.
func (s *Service) finish(ctx context.Context, t task, scan *report.Scan, failure *report.Failure, namespace string, took time.Duration) *queue.Outcome {
	var revision uint64
	if failure == nil {
		revision, failure = s.keep(ctx, t, scan, namespace)
	}
	s.metrics.scanned(took, failure)
	log := s.o.Logger.With("digest", t.manifest.Digest, "repository", t.resolved.Repository, "duration", took)
	if failure != nil {
		log.Warn("scan failed", "reason", failure.Reason, "message", failure.Message, "error", cause(failure))
		return s.failure(t, failure)
	}
	s.failures.remove(t)
	log.Info("scan finished", "scanner", scan.Scanner, "findings", len(scan.Vulnerabilities))
	return ended{Key: s.storeKey(t), Revision: revision}.outcome(queue.OfResult)
}

// failure remembers a failure, for all replicas.
func (s *Service) failure(t task, f *report.Failure) *queue.Outcome {
	r := s.failures.add(t, f)
	return ended{Key: s.storeKey(t), Failure: &r}.outcome(r.scope())
}

// attempts scans until it works, fails for good, or has been tried enough.
func (s *Service) attempts(ctx context.Context, t task, w *queue.Work) (*report.Scan, *report.Failure) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Deadline)
	defer cancel()
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = s.o.RetryInitial, s.o.RetryMax
	for attempt := w.Attempt(); ; {
		scan, failure := s.attempt(ctx, t, w)
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
		attempt++
		if err := w.Again(attempt, failure.Message); err != nil {
			s.o.Logger.Warn("an attempt could not be counted", "error", err)
		}
		s.metrics.retries.Inc()
		s.o.Logger.Info("scan will be tried again", "digest", t.manifest.Digest, "attempt", attempt, "message", failure.Message, "error", cause(failure))
		select {
		case <-time.After(max(pauses.NextBackOff(), failure.RetryAfter)):
		case <-ctx.Done():
			return nil, s.overdue(failure)
		}
	}
}

func (s *Service) attempt(ctx context.Context, t task, w *queue.Work) (_ *report.Scan, failure *report.Failure) {
	defer func() {
		if p := recover(); p != nil {
			failure = bounded(report.Crashed(p))
		}
	}()
	auth, opened, err := s.authorization(ctx, w)
	if err != nil {
		return nil, report.FailureOf(err)
	}
	image := t.image()
	image.Authorization, image.Share = auth, w.Share().Namespace
	scan, err := s.o.Scanner.Scan(ctx, image)
	if err != nil {
		failure := bounded(report.FailureOf(err))
		if failure.Reason == report.ReasonUnauthorized {
			s.o.Registry.Refused(ctx, opened.resolved, opened.access)
		}
		return nil, failure
	}
	if err := s.counts(scan, image.Digest); err != nil {
		return nil, bounded(report.FailureOf(err))
	}
	return scan, nil
}

// authorization opens the image for the scanner, by way of whichever asker still
// holds the credential: who asked first may have taken it away. Its error is
// errShut when none does.
func (s *Service) authorization(ctx context.Context, w *queue.Work) (auth string, t task, err error) {
	const most = 8
	wishes := w.Wishes()
	err = errNobody
	for _, wish := range wishes[:min(most, len(wishes))] {
		if t, err = s.opened(ctx, wish); err == nil {
			if auth, err = s.o.Registry.Authorization(ctx, t.resolved, t.access); err == nil {
				return auth, t, nil
			}
		}
		s.o.Logger.Info("an image cannot be opened for its scan", "namespace", wish.Share.Namespace, "registry", wish.Share.Registry,
			"message", err.Error(), "error", cause(err))
	}
	return "", task{}, shut(err)
}

var (
	errNobody = &report.Failure{Reason: report.ReasonUnavailable, Message: "nobody asks for the image any more"}
	// errShut is what is under the failure of a scan that could not begin, since
	// nobody who asks for it opens the image any more. That is each asker's own
	// trouble: its Secret was changed, its turn for a look-up did not come. It says
	// nothing of others that come by the same credential, which may be none.
	errShut = errors.New("none of those who ask opens the image")
)

// shut is the failure by errShut. What kept the last asker out is for the log: it
// may name a Secret, and others are told this.
func shut(last error) *report.Failure {
	f := report.FailureOf(last)
	out := &report.Failure{Reason: f.Reason, RetryAfter: f.RetryAfter, Err: errShut}
	if f.Transient() {
		out.Message = "the image could not be looked up again when its scan was to begin"
		return out
	}
	out.Reason = report.ReasonUnauthorized
	out.Message = "the image can no longer be opened as when its scan was asked for: a pull secret has changed since, the image is gone, or the replicas of the provider differ in their registry settings"
	return out
}

// opened is the task of a wish with the credential that opens the image.
func (s *Service) opened(ctx context.Context, w queue.Wish) (task, error) {
	if t, ok := w.Known.(task); ok {
		return t, nil
	}
	var o Order
	if err := json.Unmarshal(w.Work, &o); err != nil {
		return task{}, fmt.Errorf("reading a queued scan: %w", err)
	}
	return s.reopen(ctx, o)
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
// memory alone it would be gone with the next ask and be made again for ever. It
// has cost more than to wait for a store that is away for a moment, as while
// another of its servers takes the lead; once ctx has ended it waits less.
func (s *Service) keep(ctx context.Context, t task, scan *report.Scan, namespace string) (revision uint64, _ *report.Failure) {
	key := s.storeKey(t)
	report.Arrange(scan.Vulnerabilities)
	scan.ReceivedAt = s.o.Now()
	if n := len(scan.Inner); n > s.o.FindingsBytes {
		scan.Inner, scan.InnerLeftOut = nil, n // no view can ever send it
	}
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(storeTimeout, cancel) })()
	revision, err := s.o.Store.Put(writing, namespace, key, scan)
	if err != nil {
		return 0, &report.Failure{Reason: report.ReasonUnavailable, Message: unavailable(err), Err: fmt.Errorf("storing the scan of %s: %w", key, err)}
	}
	return revision, nil
}

const (
	// storeTimeout bounds a look at what is stored by whoever is about to make it,
	// and the last words of who is told to stop.
	storeTimeout = 10 * time.Second
	// storePause is the pause between two of these looks.
	storePause = 500 * time.Millisecond
	// keepTimeout bounds one write of a finished scan.
	keepTimeout = 30 * time.Second
)
