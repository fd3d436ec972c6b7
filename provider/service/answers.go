package service

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// An answer with more than summaries keeps a part of its time for writing them
// down: a quarter of it, at most largeReserve, of which the sender has one half.
const (
	reserveShare = 4
	largeReserve = 250 * time.Millisecond
)

// Reports answers all queries, in order, by the time ctx ends at the latest.
// Scans that are not finished by then go on, and their reports say
// report_not_available. It never fails: what goes wrong with an image is its
// report. All reports together stay within Options.AnswerBytes; what does not
// fit is cut, the largest first.
func (s *Service) Reports(ctx context.Context, queries []Query) []report.ScanReport {
	waiting, writing, cancel := phases(ctx, queries)
	defer cancel()
	all := make([]*asked, len(queries))
	var wg sync.WaitGroup
	for i, q := range queries {
		wg.Go(func() { all[i] = s.ask(waiting, q) })
	}
	wg.Wait()

	out := make([]report.ScanReport, len(queries))
	left := s.o.AnswerBytes
	for n, i := range s.smallestFirst(all) {
		var used int
		out[i], used = s.written(writing, all[i], left/(len(all)-n))
		left = max(left-used, 0)
		s.told(ctx, all[i], out[i])
		s.remembered(all[i].query, out[i])
	}
	return out
}

// phases divides the time of ctx into that for answers, which ends first, and
// that for writing reports.
func phases(ctx context.Context, queries []Query) (waiting, writing context.Context, cancel func()) {
	deadline, ok := ctx.Deadline()
	if !ok || !slices.ContainsFunc(queries, Query.large) {
		return ctx, ctx, func() {}
	}
	reserve := min(time.Until(deadline)/reserveShare, largeReserve)
	writing, endWriting := context.WithDeadline(ctx, deadline.Add(-reserve/2))
	waiting, endWaiting := context.WithDeadline(writing, deadline.Add(-reserve))
	return waiting, writing, func() { endWaiting(); endWriting() }
}

// large reports whether more than a summary is asked for.
func (q Query) large() bool { return q.View != "" && q.View != report.ViewSummary }

// asked is a query and what is known of it, before it is cut to a view.
type asked struct {
	query  Query
	began  time.Time
	answer answer
}

// ask answers q by the time ctx ends.
func (s *Service) ask(ctx context.Context, q Query) (k *asked) {
	began := s.o.Now()
	q.vouched = s.vouching(ctx, q)
	k = &asked{query: q, began: began}
	defer func() {
		if p := recover(); p != nil {
			k.answer = failedAnswer(k.answer.digest, report.Crashed(p), time.Time{}, s.o.Now())
		}
	}()
	k.answer = s.answer(ctx, q)
	return k
}

// smallestFirst is the order in which reports share the bytes of an answer: what
// the small ones leave over goes to the large ones.
func (s *Service) smallestFirst(all []*asked) []int {
	needs, order := make([]int, len(all)), make([]int, len(all))
	for i, k := range all {
		needs[i], order[i] = k.need(s.o.FindingsBytes), i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(needs[a], needs[b]) })
	return order
}

// need estimates the size of k's report. It need not be right: it decides who
// is served first, and no more.
func (k *asked) need(most int) int {
	n := report.MaxSummaryBytes
	if !k.query.large() || k.answer.scan == nil {
		return n
	}
	if k.query.View == report.ViewFull {
		n += len(k.answer.scan.Inner)
	}
	const fields = 256
	for _, v := range k.answer.scan.Vulnerabilities {
		if n > most {
			break
		}
		n += fields + len(v.Description)
	}
	return min(n, most)
}

// written is the report of k in at most maxBytes, and how many it takes.
func (s *Service) written(ctx context.Context, k *asked, maxBytes int) (r report.ScanReport, used int) {
	failed := func(f *report.Failure) {
		k.answer = failedAnswer(k.answer.digest, f, time.Time{}, s.o.Now())
		r = report.ScanReport{Status: k.answer.status, Digest: k.answer.digest, Message: f.Message}
		used = report.MaxSummaryBytes
	}
	defer func() {
		if p := recover(); p != nil {
			failed(report.Crashed(p))
		}
		r.ImageAndTag = k.query.Reference
		if k.query.Original == "" {
			return
		}
		r.Image = k.query.Reference
		r.ImageAndTag = k.query.written()
	}()
	d := k.answer.drawing
	if d != nil && d.bytes > 0 {
		return d.report, d.bytes
	}
	view := k.query.View
	late := k.query.large() && ctx.Err() != nil && k.answer.scan != nil
	if late {
		view = report.ViewSummary
	}
	r, used, err := report.Fit(report.ScanReport{
		ImageAndTag: k.query.Reference,
		Status:      k.answer.status,
		Digest:      k.answer.digest,
		Message:     s.said(&k.answer),
	}, k.answer.scan, view, min(maxBytes, s.o.FindingsBytes))
	if err != nil {
		failed(report.FailureOf(err))
		return r, used
	}
	if late {
		r = report.Cut(r, "no time was left to send more than the summary")
	}
	if d != nil {
		d.report, d.bytes = r, used
		s.drawn.add(d)
	}
	return r, used
}

// onlyLogged is what failures say, here and in the backends, whose cause is in the
// log alone.
const onlyLogged = "; the provider's log says why"

// said is the message of an answer, with the cause for those who may know it.
func (s *Service) said(a *answer) string {
	if s.o.Causes && a.err != nil {
		if what, ok := strings.CutSuffix(a.message, onlyLogged); ok {
			return report.CleanMessage(what + ": " + a.err.Error())
		}
	}
	return a.message
}

// told counts and logs one query's report, audit's as part of its round.
func (s *Service) told(ctx context.Context, k *asked, r report.ScanReport) {
	s.metrics.reports.WithLabelValues(string(r.Status)).Inc()
	if i := k.answer.image; i != nil {
		i.Written = k.query.written()
		s.o.Seen(*i)
	}
	log, level := s.o.Logger, slog.LevelInfo
	if k.query.Asker == AskerAudit {
		s.rounds.add(r.Status)
		level = slog.LevelDebug
	}
	if k.answer.err != nil {
		log = log.With("error", k.answer.err)
	}
	log.Log(ctx, level, "report",
		"image", k.query.Reference, "namespace", k.query.Access.Namespace, "asker", k.query.Asker.String(), "digest", r.Digest, "status", r.Status,
		"cache", k.answer.cache, "duration", s.o.Now().Sub(k.began), "message", r.Message)
}
