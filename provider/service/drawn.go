package service

import (
	"context"
	"sync"
	"time"
	"weak"

	"github.com/imagegate/imagegate/provider/fair"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
)

// DrawnBytes is about what is kept of answers that were drawn already.
const DrawnBytes = 16 << 20

// drawn keeps summaries that were drawn from scans, for whoever asks the same again:
// audit does so each minute. One counts as long as nothing has changed that it was drawn
// from. The scans are the very same in memory; the judge's files are; and no moment has
// passed at which the verdict could become another, as when an exception ends. What
// proves that the asker may have an answer, and that the scans are young enough, is
// looked at each time.
type drawn struct {
	mu   sync.Mutex
	kept *fair.Cache[drawnKey, *drawing]
}

// drawnKey is what an answer depends on beside the scans and the rules.
type drawnKey struct{ namespace, written, digest, platform string }

// drawing is an answer and what it was drawn from. It does not change once it is kept.
type drawing struct {
	key drawnKey
	// of are the scans of the image's manifests. A weak pointer is never that of another
	// scan, and keeps none in memory.
	of         []weak.Pointer[report.Scan]
	generation uint64
	// until is the moment from which on the verdict may be another; zero: there is none.
	until time.Time

	answer answer
	// report has no name of the image; bytes are those of its JSON.
	report report.ScanReport
	bytes  int
}

// source is a scan that counts, and how long a verdict on it does.
type source struct {
	scan       *report.Scan
	generation uint64
	until      time.Time
}

func newDrawn(most int64) *drawn { return &drawn{kept: fair.New[drawnKey, *drawing](most)} }

func drawnKeyOf(q Query, res *registry.Resolved) drawnKey {
	return drawnKey{q.Access.Namespace, q.written(), res.Digest, q.Platform}
}

func (d *drawn) get(k drawnKey) *drawing {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, _ := d.kept.Get(k.namespace, k)
	return found
}

// perDrawing is about what one takes beside its texts: in memory a report is larger than
// its JSON.
const perDrawing = 1024

func (d *drawn) add(one *drawing) {
	k := one.key
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept.Add(k.namespace, k, one, int64(perDrawing+2*one.bytes+len(k.written)+len(k.digest)+len(k.platform)))
}

// again returns the answer that was drawn from the same before.
func (s *Service) again(ctx context.Context, q Query, res *registry.Resolved) (a answer, ok bool) {
	if q.large() {
		return a, false
	}
	d := s.drawn.get(drawnKeyOf(q, res))
	if d == nil || len(d.of) != len(res.Manifests) || d.generation != s.o.Judge.Generation() || !d.until.IsZero() && !s.o.Now().Before(d.until) {
		return a, false
	}
	scans := make([]*report.Scan, len(d.of))
	for i, m := range res.Manifests {
		scan, err := s.o.Store.Get(ctx, s.storeKey(task{resolved: res, manifest: m, access: q.Access}))
		// What is not fresh is renewed by whoever looks at it.
		if err != nil || scan == nil || d.of[i].Value() != scan || s.freshness(scan) != fresh {
			return a, false
		}
		scans[i] = scan
	}
	for _, scan := range scans {
		s.metrics.hit(s.age(scan))
	}
	a = d.answer
	a.drawing = d
	return a, true
}

// sourceOf is taken before the scan is judged: what changes meanwhile ends the verdict.
func (s *Service) sourceOf(q Query, scan *report.Scan) *source {
	if q.large() {
		return nil
	}
	return &source{scan, s.o.Judge.Generation(), s.o.Judge.Until(scan)}
}

// draws is what a, which was combined of the answers, is drawn from, nil where these are
// not all of scans that count and are fresh. It is kept once it is written.
func draws(q Query, res *registry.Resolved, a *answer, of []answer) *drawing {
	d := &drawing{of: make([]weak.Pointer[report.Scan], len(of))}
	for i := range of {
		from := of[i].source
		if from == nil || i > 0 && from.generation != d.generation {
			return nil
		}
		d.of[i], d.generation = weak.Make(from.scan), from.generation
		if !from.until.IsZero() && (d.until.IsZero() || from.until.Before(d.until)) {
			d.until = from.until
		}
	}
	d.key = drawnKeyOf(q, res)
	d.answer = answer{status: a.status, digest: a.digest, message: a.message, platform: a.platform, cache: a.cache}
	return d
}
