package anchore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxBroken bounds how many polls in a row may fail, maxMissing how many
	// times a submitted image may be unknown, and maxUnjudged how often an
	// analysed image may have no verdict: services that are made of several
	// parts need a moment.
	maxBroken   = 5
	maxMissing  = 5
	maxUnjudged = 5

	firstWait   = 100 * time.Millisecond
	longestWait = 10 * time.Second
)

// scan is one Scan under way.
type scan struct {
	c *Client
	d dialect
	s *subject
	// secret is the image's registry authorization. Anchore pulls with its own
	// and is never told ours; it is only taken out of messages.
	secret string

	began                    time.Time
	polls                    int
	broken, missing, without int
}

// Scan has the service analyse and judge one manifest and returns when it has
// or ctx ends. Every error is a *report.Failure.
//
// Scanning an image again after a failed analysis makes the service try again.
func (c *Client) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	s, err := subjectOf(image, c.o.Submit)
	if err != nil {
		return nil, err
	}
	d, err := c.dialect(ctx)
	if err != nil {
		return nil, err
	}
	run := &scan{c: c, d: d, s: s, secret: image.Authorization, began: time.Now()}
	v, err := run.judged(ctx)
	if err != nil {
		return nil, err
	}
	if v.blind && v.judgement == report.JudgementPass {
		return nil, report.Incomplete("the scanner has no vulnerability data of the image's distribution, which its policy lets pass")
	}
	based, err := c.basis(ctx, d)
	if err != nil {
		return nil, err
	}
	out := &report.Scan{
		Scanner:         based.Scanner,
		Subject:         v.subject,
		DatabaseBuiltAt: based.DatabaseBuiltAt,
		ScannedAt:       v.at,
		Judgement:       v.judgement,
		Inner:           v.inner,
	}
	if err := run.list(ctx, v, out); err != nil {
		return nil, err
	}
	return out, nil
}

// judged submits the image and waits for the verdict on it.
func (s *scan) judged(ctx context.Context) (*verdict, error) {
	st, err := s.submit(ctx)
	for ; err == nil; st, err = s.next(ctx) {
		switch st.Status {
		case notAnalyzed, analyzing:
			continue
		case analyzed:
			v, err := s.check(ctx)
			if v != nil || err != nil {
				return v, err
			}
		case analysisFailed:
			return nil, &report.Failure{
				Reason:  report.ReasonInternal,
				Message: "the scanner could not analyse the image (analysis_failed); its own log says why",
			}
		default:
			return nil, s.malformed("the state of the image", nil, fmt.Errorf("its analysis_status is %q", report.Clean(st.Status, maxName)))
		}
	}
	return nil, err
}

func (s *scan) submit(ctx context.Context) (state, error) {
	query, body := s.d.submission(s.s, s.c.o.Submit, time.Now())
	r, err := s.call(ctx, remote.Request{Method: http.MethodPost, Path: "/images", Query: query, Body: body, Limit: maxSmallBody})
	if err != nil {
		return state{}, err
	}
	if r.Status != http.StatusOK {
		return state{}, s.c.refused(s.d, r, s.secret)
	}
	return s.state(r)
}

// state reads how far the service is and makes sure that it speaks of the
// image that it was asked for.
func (s *scan) state(r *remote.Reply) (state, error) {
	st, err := s.d.state(r.Body)
	if err != nil {
		return state{}, s.malformed("the state of the image", r, err)
	}
	if st.Digest == s.s.digest {
		return st, nil
	}
	if s.c.o.Submit == SubmitTag && st.Digest != "" {
		return state{}, &report.Failure{
			Reason: report.ReasonInternal,
			Message: fmt.Sprintf("for the scanner %s is another image than %s: the tag has moved, or names an index of several platforms",
				s.s.tag, s.s.digest),
			Err: fmt.Errorf("the scanner took %q", report.Clean(st.Digest, maxName)),
		}
	}
	return state{}, s.malformed("the state of the image", r, fmt.Errorf("it is about image %q", report.Clean(st.Digest, maxName)))
}

// next waits and asks how far the service is.
func (s *scan) next(ctx context.Context) (state, error) {
	wait := s.c.wait(s.polls, time.Since(s.began))
	s.polls++
	for {
		if err := remote.Sleep(ctx, wait); err != nil {
			return state{}, err
		}
		r, err := s.get(ctx, "", nil, maxSmallBody)
		if err != nil {
			return state{}, err
		}
		switch r.Status {
		case http.StatusOK:
			s.missing = 0
			return s.state(r)
		case http.StatusNotFound:
			if s.missing++; s.missing >= maxMissing {
				return state{}, &report.Failure{
					Reason:  report.ReasonUnavailable,
					Message: "the scanner does not know the image that was submitted to it a moment ago",
					Err:     errors.New(s.c.remote.Quote(r, s.secret)),
				}
			}
		default:
			return state{}, s.c.remote.Failed("asking for the state of the image", r, s.secret)
		}
	}
}

// check asks for the verdict. It returns nothing when there may be one soon.
//
// The service answers 404 while it analyses, after it failed to, when it has
// no policy, and when it does not know the tag for the digest. Only an analysed
// image gets here, but the verdict may lag behind the analysis.
func (s *scan) check(ctx context.Context) (*verdict, error) {
	query := url.Values{"tag": {s.s.tag}, "detail": {"true"}, "history": {"false"}}
	r, err := s.get(ctx, "/check", query, s.c.o.MaxReportBytes)
	if err != nil {
		return nil, err
	}
	switch r.Status {
	case http.StatusOK:
		v, err := s.d.verdict(r.Body, s.s.digest)
		if errors.Is(err, errNotEvaluated) {
			return nil, s.unjudged(r)
		}
		if err != nil {
			return nil, s.malformed("the policy evaluation", r, err)
		}
		return v, nil
	case http.StatusNotFound:
		return nil, s.unjudged(r)
	}
	return nil, s.c.remote.Failed("asking for the policy evaluation", r, s.secret)
}

// unjudged counts verdicts that are not there and says when it is enough.
func (s *scan) unjudged(r *remote.Reply) error {
	if s.without++; s.without < maxUnjudged {
		return nil
	}
	return unjudged(s.s.tag, s.c.remote.Quote(r, s.secret))
}

// get asks for something about the image. A few failures in a row that may
// pass are sat out: the analysis goes on meanwhile.
func (s *scan) get(ctx context.Context, path string, query url.Values, limit int64) (*remote.Reply, error) {
	for {
		r, err := s.call(ctx, remote.Request{Method: http.MethodGet, Path: "/images/" + s.s.digest + path, Query: query, Limit: limit})
		f := s.passing(r, err)
		if f == nil {
			s.broken = 0
			return r, err
		}
		if s.broken++; s.broken >= maxBroken || ctx.Err() != nil {
			return nil, f
		}
		if f.RetryAfter > remote.LongestPause {
			return nil, f
		}
		wait := max(s.c.wait(s.broken, time.Since(s.began)), f.RetryAfter)
		if end, ok := ctx.Deadline(); ok && f.RetryAfter > 0 && time.Until(end) < wait {
			return nil, f
		}
		if err := remote.Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// passing returns the failure that an answer is when it may pass, or nil.
func (s *scan) passing(r *remote.Reply, err error) *report.Failure {
	var f *report.Failure
	switch {
	case err != nil:
		f = report.FailureOf(err)
	case r.Status == http.StatusOK || r.Status == http.StatusNotFound:
		return nil
	case r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden:
		return nil // somebody has to mend it, which takes longer than a scan waits
	default:
		f = s.c.remote.Failed("asking about the image", r, s.secret)
	}
	if !f.Transient() {
		return nil
	}
	return f
}

func (s *scan) call(ctx context.Context, r remote.Request) (*remote.Reply, error) {
	return s.c.call(ctx, s.d.api, r)
}

// malformed is the failure of an answer that counts for nothing. Where it is
// not even JSON, what it says tells more than the parser does: often it is
// somebody's sign-in page.
func (s *scan) malformed(what string, r *remote.Reply, err error) *report.Failure {
	why := s.c.remote.Redact(err.Error(), s.secret)
	if syntax := (*json.SyntaxError)(nil); r != nil && errors.As(err, &syntax) {
		why = remote.With("it is not JSON", s.c.remote.Quote(r, s.secret))
	}
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: fmt.Sprintf("the scanner's answer is not %s: %s", what, why),
		Err:     err,
	}
}

// wait grows fast to the poll interval, so that the verdict on an image that is
// known already comes at once, and then with the age of the analysis, so that
// waiting never adds more than a tenth to it.
func (c *Client) wait(n int, age time.Duration) time.Duration {
	return max(min(firstWait<<min(n, 10), c.o.PollInterval), min(age/10, longestWait))
}
