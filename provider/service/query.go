package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// Query asks about one image reference.
type Query struct {
	// Reference as the Pod wrote it.
	Reference string
	// Platform is os/arch[/variant]; empty judges the configured platforms of
	// an index and takes the worst.
	Platform string
	// View is how much of the report to return.
	View report.View
	// Patient waits for a scan as long as the asker's context allows. An asker
	// that is not gives a scan its whole time only when it has just begun:
	// Gatekeeper asks once for each kind of Constraint, one after another, and
	// must not wait out its webhook for one slow image.
	Patient bool
	// Original is what the asker believes the author wrote in place of the
	// digest in Reference. The report names it when that is known to be true.
	Original string
	// again counts how often a scan's end was missed and asked for anew.
	again int
	// vouched waits for whether Original is true.
	vouched func() bool
	// Owner is who tries again when the answer is that the scan is not over; the
	// zero value is nobody. It has no part in what is scanned or answered.
	Owner owner.Reference
	// User wants to run the image, when somebody does: then the answer is told to
	// Options.Denials. Pod is the Pod's name where it has no Owner.
	User, Pod string
	// Access is whose credentials must open the image.
	Access registry.Access
	// Asker is on what occasion this is asked.
	Asker Asker
}

// maxAgain bounds Query.again.
const maxAgain = 3

// Digest returns the reference pinned to what it means now, in the spelling of
// the query: repo:tag becomes repo@sha256:... A reference that names a digest
// is returned as it is, after the same proof of access. Errors are
// *report.Failure.
func (s *Service) Digest(ctx context.Context, q Query) (string, error) {
	began := s.o.Now()
	pinned, err := s.pinned(ctx, q)
	outcome, attrs := resultOK, []any{"digest", pinned}
	if err != nil {
		outcome, attrs = resultFailed, []any{"message", err.Error(), "error", cause(err)}
		s.unresolved(ctx, q, err)
	}
	s.metrics.digests.WithLabelValues(outcome).Inc()
	s.o.Logger.With(attrs...).InfoContext(ctx, "digest",
		"image", q.Reference, "namespace", q.Access.Namespace, "asker", q.Asker.String(), "duration", s.o.Now().Sub(began))
	return pinned, err
}

func (s *Service) pinned(ctx context.Context, q Query) (_ string, err error) {
	defer report.Recover(&err)
	// The digest is kept for good: an older answer will not do.
	res, err := s.resolved(ctx, q, s.o.Registry.ResolveNow)
	if err != nil {
		return "", err
	}
	pinned, err := registry.Pinned(q.Reference, res.Digest)
	if err != nil {
		return "", &report.Failure{Reason: report.ReasonUnsupported, Message: err.Error(), Err: err}
	}
	return pinned, nil
}

// resolve asks the registry. A context that ends first is told apart from a
// registry that fails: only the asker's time is over, and the resolver goes on.
func (s *Service) resolve(ctx context.Context, q Query) (*registry.Resolved, error) {
	return s.resolved(ctx, q, s.o.Registry.Resolve)
}

type lookUp func(ctx context.Context, reference, platform string, access registry.Access) (*registry.Resolved, error)

func (s *Service) resolved(ctx context.Context, q Query, ask lookUp) (*registry.Resolved, error) {
	res, err := ask(ctx, q.Reference, q.Platform, q.Access)
	if err == nil {
		s.saw(ctx, q, res)
	}
	if err != nil && ctx.Err() != nil {
		return nil, &report.Failure{
			Reason:  report.ReasonTimeout,
			Message: "the registry has not answered yet; try again shortly",
			Err:     ctx.Err(),
		}
	}
	return res, err
}

// answer is a report before it is cut to a view.
type answer struct {
	status  report.Status
	digest  string
	message string
	scan    *report.Scan
	// platform of the manifest that it is about.
	platform string
	// cache tells for the log where the answer came from, err why there is none.
	cache string
	err   error
	// image is what was asked about, for Options.Seen.
	image *Image
	// source is what the answer about one manifest was drawn from, drawing what that
	// about an image was, where it may be kept or was.
	source  *source
	drawing *drawing
}

func failedAnswer(digest string, f *report.Failure, until, now time.Time) answer {
	msg := f.Message
	if wait := until.Sub(now).Round(time.Second); wait > 0 {
		msg += fmt.Sprintf("; the next attempt is made when asked in %s or later", wait)
	}
	return answer{status: report.ScanFailed, digest: digest, message: msg, cache: lookupFailed, err: f.Err}
}

// letIn ends what is said of an artifact. It will never have a report, so whoever
// wants it in a Pod has to know by which rule.
const letIn = "; there is nothing to scan, and ImageScanPolicy lets it in by a rule that accepts its prefix (action accept in scanPolicies.customPolicies, or scanRules.alwaysAccept)"

func (s *Service) answer(ctx context.Context, q Query) answer {
	res, err := s.resolve(ctx, q)
	if err != nil {
		if ctx.Err() != nil {
			return answer{status: report.NotAvailable, message: err.Error(), cache: lookupMiss}
		}
		return failedAnswer("", report.FailureOf(err), time.Time{}, s.o.Now())
	}
	if res.Artifact != nil {
		f := *res.Artifact
		f.Message += letIn
		return failedAnswer(res.Digest, &f, time.Time{}, s.o.Now())
	}
	if a, ok := s.again(ctx, q, res); ok {
		a.image = s.imageOf(q, res)
		return a
	}
	// All manifests are started before any is waited for.
	pending := make([]func() answer, len(res.Manifests))
	for i, m := range res.Manifests {
		pending[i] = s.begin(ctx, q, task{resolved: res, manifest: m, access: q.Access})
	}
	if len(pending) == 0 {
		return failedAnswer(res.Digest, &report.Failure{
			Reason: report.ReasonUnsupported, Message: "the image has no manifest that could be scanned",
		}, time.Time{}, s.o.Now())
	}
	answers := make([]answer, len(pending))
	for i, wait := range pending {
		answers[i] = wait()
		answers[i].platform = res.Manifests[i].Platform
	}
	a := combine(answers, res.Digest)
	a.image = s.imageOf(q, res)
	a.drawing = draws(q, res, &a, answers)
	return a
}

// combine makes the answers about an image's manifests into one: the worst
// status with the worst of its findings, and what all of them found.
func combine(answers []answer, digest string) answer {
	worst := answers[0]
	var scans []report.OnPlatform
	for _, a := range answers {
		if a.worse(worst) {
			worst = a
		}
		if a.scan != nil {
			scans = append(scans, report.OnPlatform{Platform: a.platform, Scan: a.scan})
		}
	}
	worst.digest = digest
	if len(answers) == 1 {
		return worst
	}
	if worst.platform == "" {
		worst.message += " (a manifest for no particular platform)"
	} else {
		worst.message += " (platform " + worst.platform + ")"
	}
	if worst.scan != nil {
		worst.scan = report.Merge(worst.scan, scans, len(scans) == len(answers))
	}
	return worst
}

func (a answer) worse(than answer) bool {
	return cmp.Or(cmp.Compare(badness(a.status), badness(than.status)), cmp.Compare(a.severity(), than.severity())) > 0
}

// severity is that of the worst finding that counts, or below all when none does.
func (a answer) severity() report.Severity {
	if a.scan != nil {
		for _, v := range a.scan.Vulnerabilities {
			if v.Suppressed == "" {
				return v.Severity
			}
		}
	}
	return -1
}

// badness orders the platforms of an index: a rejection stands whatever the
// others say, a failure comes before a pending scan, since only the first needs
// somebody to act, and an acceptance counts only when every platform has one.
func badness(s report.Status) int {
	switch s {
	case report.Accepted:
		return 0
	case report.NotAvailable:
		return 1
	case report.ScanFailed:
		return 2
	default:
		return 3
	}
}

// begin looks a manifest up, starts its scan where nothing is known, and
// returns a function that waits for the answer until ctx ends.
func (s *Service) begin(ctx context.Context, q Query, t task) func() answer {
	digest := t.manifest.Digest
	at := func(a answer) func() answer { return func() answer { return a } }
	stored, err := s.o.Store.Get(ctx, s.storeKey(t))
	if err != nil {
		return at(failedAnswer(digest, &report.Failure{
			Reason: report.ReasonUnavailable, Message: unavailable(err), Err: err,
		}, time.Time{}, s.o.Now()))
	}
	var note string
	if stored != nil {
		age := s.freshness(stored)
		if age != expired {
			s.metrics.hit(s.age(stored))
			if age == stale {
				s.refresh(t)
				return at(s.judged(q, t, stored, lookupHit))
			}
			from := s.sourceOf(q, stored)
			a := s.judged(q, t, stored, lookupHit)
			a.source = from
			return at(a)
		}
		note = s.expiredNote(stored)
	}
	if f, until := s.failures.get(t); f != nil {
		s.metrics.lookups.WithLabelValues(lookupFailed).Inc()
		return at(s.failed(ctx, t, f, until))
	}
	s.metrics.lookups.WithLabelValues(lookupMiss).Inc()
	ticket, err := s.queue.Ask(s.wish(t))
	if err != nil {
		return at(answer{status: report.NotAvailable, digest: digest, message: note + err.Error(), cache: lookupMiss})
	}
	asked := s.o.Now()
	return func() answer { return s.await(ctx, q, t, ticket, asked, note) }
}

// await waits for the scan until ctx, asked for at the given time, ends; note
// precedes what is said of a scan that is not finished by then.
func (s *Service) await(ctx context.Context, q Query, t task, ticket *queue.Ticket, asked time.Time, note string) answer {
	defer ticket.Leave()
	if deadline, ok := ctx.Deadline(); ok && !q.Patient {
		budget := deadline.Sub(asked)
		limited, cancel := context.WithDeadline(ctx, ticket.Since().Add(budget))
		defer cancel()
		ctx = limited
	}
	select {
	case <-ticket.Done():
	case <-ctx.Done():
		// The time may have gone to another platform's scan, and a verdict that
		// is there counts.
		select {
		case <-ticket.Done():
		default:
			return s.postponed(q, t, ticket, note)
		}
	}
	outcome, err := ticket.Outcome()
	switch {
	case errors.Is(err, queue.ErrUnwritten):
		return failedAnswer(t.manifest.Digest, &report.Failure{Reason: report.ReasonUnavailable, Message: queue.ErrUnwritten.Error(), Err: err}, time.Time{}, s.o.Now())
	case errors.Is(err, queue.ErrUnknown) && q.again < maxAgain && ctx.Err() == nil:
		// The queue was not heard for a moment. What came of it is in the store by
		// now, or it is asked for anew.
		q.again++
		return s.begin(ctx, q, t)()
	case err != nil:
		return s.pending(t, note+err.Error())
	}
	return s.concluded(ctx, q, t, outcome, note)
}

// postponed answers that the scan is not over.
func (s *Service) postponed(q Query, t task, ticket *queue.Ticket, note string) answer {
	key := s.storeKey(t)
	s.o.Nudger.Pending(q.Access.Namespace, q.Owner, key)
	// The progress is read under the queue's lock, under which a scan ends: an end
	// that Pending came too late for is seen after it.
	a := s.pending(t, note+s.progress(ticket))
	select {
	case <-ticket.Done():
		s.o.Nudger.Ended(key)
	default:
	}
	return a
}

// concluded answers with what came of a scan.
func (s *Service) concluded(ctx context.Context, q Query, t task, o queue.Outcome, note string) answer {
	var e ended
	if err := json.Unmarshal(o.Detail, &e); err != nil {
		return s.pending(t, note+"the scan ended on a replica of another version; ask again")
	}
	if e.Failure != nil {
		return s.failed(ctx, t, e.Failure.failure(), e.Failure.Until)
	}
	scan, err := s.o.Store.GetAt(ctx, s.storeKey(t), e.Revision)
	switch {
	case err != nil:
		return failedAnswer(t.manifest.Digest, report.FailureOf(err), time.Time{}, s.o.Now())
	case scan == nil:
		return s.pending(t, note+"the scan has just ended; try again shortly")
	case s.freshness(scan) == expired:
		// Whoever was asked to make it finds that it still counts, and will again.
		return failedAnswer(t.manifest.Digest, &report.Failure{
			Reason:  report.ReasonInternal,
			Message: note + "a report was given by a replica of the provider for which it counts, and it does not on this one: their clocks differ, or their settings (scan.maxAge, scanner.attached)",
		}, time.Time{}, s.o.Now())
	}
	return s.judged(q, t, scan, lookupMiss)
}

func (s *Service) pending(t task, message string) answer {
	return answer{status: report.NotAvailable, digest: t.manifest.Digest, message: message, cache: lookupMiss}
}

// progress says for a pending report what is going on.
func (s *Service) progress(ticket *queue.Ticket) string {
	msg := fmt.Sprintf("the scan was asked for %s ago and is not finished; try again shortly",
		s.o.Now().Sub(ticket.Since()).Round(time.Second))
	if s.queue.Slots() == 0 {
		msg += "; no scan worker is running now, and the scan begins when there is one"
	}
	if last := ticket.Last(); last != "" {
		msg += "; last attempt: " + last
	}
	return msg
}

// failed answers with a failure. One of the credential ends the asker's proof
// that it opens the image, whoever's scan found out.
func (s *Service) failed(ctx context.Context, t task, f *report.Failure, until time.Time) answer {
	if f.Reason == report.ReasonUnauthorized {
		s.o.Registry.Refused(ctx, t.resolved, t.access)
	}
	return failedAnswer(t.manifest.Digest, f, until, s.o.Now())
}

func (s *Service) judged(q Query, t task, scan *report.Scan, cache string) answer {
	outcome := s.o.Judge.Judge(scan, verdict.Subject{
		Reference: q.written(),
		Digest:    t.resolved.Digest,
		Manifest:  t.manifest.Digest,
		Namespace: q.Access.Namespace,
	})
	return answer{status: outcome.Status, digest: t.manifest.Digest, message: outcome.Message, scan: outcome.Scan, cache: cache}
}

// unavailable is what is said of a store that cannot be read.
func unavailable(err error) string {
	if f, ok := errors.AsType[*report.Failure](err); ok {
		return f.Message
	}
	return "the report store is unavailable"
}
