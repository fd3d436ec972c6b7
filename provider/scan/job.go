package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner"
	"github.com/imagegate/imagegate/provider/turns"
)

// task is what a job needs to know: the manifest, and through whose access it
// was found.
type task struct {
	resolved *registry.Resolved
	manifest registry.Manifest
	access   registry.Access
}

// index is the digest of the index that the manifest was chosen from, or empty.
func (t task) index() string {
	if t.resolved.Digest == t.manifest.Digest {
		return ""
	}
	return t.resolved.Digest
}

// key is what askers share a scan and its failure by. It names the repository
// beside the digest: whoever may create Pods may put a manifest that others use
// into a registry of their own, without its layers or behind a connection that
// never ends, and must not thereby keep the others' image from being scanned. A
// finished scan is shared as far as its scanner vouches for the content. The
// index has a part in it because statements may be attached to it.
func (t task) key() string {
	return t.resolved.Registry + "/" + t.resolved.Repository + "@" + t.digests()
}

// digests name the manifest and, where it has one, its index before it.
func (t task) digests() string {
	if index := t.index(); index != "" {
		return index + "/" + t.manifest.Digest
	}
	return t.manifest.Digest
}

// image is the task as a scanner is asked for it, without the authorization.
func (t task) image() scanner.Image {
	return scanner.Image{
		Registry:   t.resolved.Registry,
		Repository: t.resolved.Repository,
		Digest:     t.manifest.Digest,
		Index:      t.index(),
		Tag:        t.resolved.Tag,
		MediaType:  t.manifest.MediaType,
		Platform:   t.manifest.Platform,
	}
}

// storeKey is what a finished scan counts for: the digest wherever it is, or
// only under the names for which the scanner that makes it can vouch.
func (s *Service) storeKey(t task) string {
	image := t.image()
	return s.o.Scanner.Sharing(image).Key(image)
}

// job is one scan, waiting or under way. All askers of its key share it.
type job struct {
	task   task
	asked  time.Time
	done   chan struct{} // closed when scan or failure is set
	scan   *report.Scan
	failed *report.Failure

	mu   sync.Mutex
	last *report.Failure // of the latest attempt that will be tried again
}

func (j *job) setLast(f *report.Failure) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = f
}

// progress says for a pending report what is going on.
func (j *job) progress(now time.Time) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	msg := fmt.Sprintf("the scan was asked for %s ago and is not finished; try again shortly",
		now.Sub(j.asked).Round(time.Second))
	if j.last != nil {
		msg += "; last attempt: " + j.last.Message
	}
	return msg
}

// errQueueFull is not a failure of the image: nothing was tried.
var errQueueFull = errors.New("too many scans are waiting already; try again later")

// start returns the running job for the task's manifest, or begins one.
func (s *Service) start(t task) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j, ok := s.jobs[t.key()]; ok {
		return j, nil
	}
	if s.root.Err() != nil {
		return nil, errors.New("the provider is shutting down")
	}
	if len(s.jobs) >= s.o.Workers+s.o.Queue {
		return nil, errQueueFull
	}
	j := &job{task: t, asked: s.o.Now(), done: make(chan struct{})}
	s.jobs[t.key()] = j
	s.metrics.queued.Inc()
	s.wg.Go(func() { s.run(j) })
	return j, nil
}

// run takes the job through the queue, its attempts and into the store. The
// context is the service's own: an asker who gives up does not end a scan
// that others wait for.
func (s *Service) run(j *job) {
	digest := j.task.manifest.Digest
	defer func() {
		s.mu.Lock()
		delete(s.jobs, j.task.key())
		s.mu.Unlock()
		close(j.done)
	}()
	// There are never more jobs than may wait: only the service's own end keeps
	// one from its turn, and then it fails for that.
	if done, err := s.turns.Take(s.root, turns.Share{Namespace: j.task.access.Namespace, Registry: j.task.resolved.Registry}); err == nil {
		defer done()
	}
	s.metrics.queued.Dec()
	s.metrics.running.Inc()
	defer s.metrics.running.Dec()
	// The scan may have been stored between the asker's look-up and start.
	if stored, err := s.o.Store.Get(s.root, s.storeKey(j.task)); err == nil && stored != nil && s.freshness(stored) == fresh {
		j.scan = stored
		return
	}
	began := s.o.Now()
	scan, failure := s.attempts(j)
	if failure == nil {
		failure = s.keep(s.storeKey(j.task), scan)
	}
	took := s.o.Now().Sub(began)
	s.metrics.scanned(took, failure)
	log := s.o.Logger.With("digest", digest, "repository", j.task.resolved.Repository, "duration", took)
	if failure != nil {
		log.Warn("scan failed", "reason", failure.Reason, "message", failure.Message, "error", cause(failure))
		if s.root.Err() == nil {
			s.failures.add(j.task.key(), failure)
		}
		j.failed = failure
		return
	}
	s.failures.remove(j.task.key())
	log.Info("scan finished", "scanner", scan.Scanner, "findings", len(scan.Vulnerabilities))
	j.scan = scan
}

// attempts scans until it works, fails for good, or has been tried enough.
func (s *Service) attempts(j *job) (*report.Scan, *report.Failure) {
	ctx, cancel := context.WithTimeout(s.root, s.o.Deadline)
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
		s.o.Logger.Info("scan will be tried again", "digest", j.task.manifest.Digest, "attempt", attempt, "message", failure.Message)
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
			failure = report.Crashed(p)
		}
	}()
	auth, err := s.o.Registry.Authorization(ctx, j.task.resolved, j.task.access)
	if err != nil {
		return nil, report.FailureOf(err)
	}
	image := j.task.image()
	image.Authorization = auth
	scan, err := s.o.Scanner.Scan(ctx, image)
	if err != nil {
		return nil, report.FailureOf(err)
	}
	if scan == nil {
		return nil, &report.Failure{Reason: report.ReasonInternal, Message: "the scanner returned neither a report nor an error"}
	}
	return scan, nil
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
func (s *Service) keep(key string, scan *report.Scan) *report.Failure {
	report.SortVulnerabilities(scan.Vulnerabilities)
	scan.ReceivedAt = s.o.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.root), storeTimeout)
	defer cancel()
	if err := s.o.Store.Put(ctx, key, scan); err != nil {
		return &report.Failure{Reason: report.ReasonUnavailable, Message: "the report store is unavailable", Err: fmt.Errorf("storing the scan of %s: %w", key, err)}
	}
	return nil
}

// storeTimeout bounds one write of a finished scan.
const storeTimeout = 10 * time.Second

// cause returns what is behind a failure's sentence, for the log.
func cause(err error) slog.Value {
	under := errors.Unwrap(err)
	if under == nil {
		return slog.Value{}
	}
	return slog.StringValue(under.Error())
}
