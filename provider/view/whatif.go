package view

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/verdict"
)

const whatIfPath = "/what-if"

// trial is an image in a workload with what is answered about it, and would be.
type trial struct {
	use
	then answer
	// failed says that a report is missing for one of the two.
	failed bool
	// needs are the findings that would keep it out.
	needs []string
}

// question is one report by which a trial is judged.
type question struct {
	trial    *trial
	image    *service.Image
	manifest service.ImageManifest
}

// change is what is asked for, and whether anything is.
func (q query) change(now time.Time) (c verdict.Change, given bool) {
	if s, ok := q.severityOf("threshold"); ok {
		c.Threshold, given = &s, true
	}
	if v := q.one("onlyFixed", anyValue, yes, no); v != anyValue {
		only := v == yes
		c.OnlyFixed, given = &only, true
	}
	if v := q.one("kev", anyValue, string(verdict.KEVReport), string(verdict.KEVDeny)); v != anyValue {
		kev := verdict.KEV(v)
		c.KEV, given = &kev, true
	}
	for name, into := range map[string]**time.Duration{"minCVEAge": &c.MinCVEAge, "minFixAge": &c.MinFixAge} {
		v := q.get(name)
		if v == "" {
			continue
		}
		span, err := verdict.ParseSpan(v)
		if err != nil {
			q.refuse("The parameter %s: %v.", name, err)
			continue
		}
		*into, given = &span, true
	}
	if v := q.get("day"); v != "" {
		day, err := time.Parse(time.DateOnly, v)
		if err != nil || !day.After(now) {
			q.refuse("The parameter day is %q, which is no day to come such as %s.", clean(v), now.AddDate(0, 0, 1).UTC().Format(time.DateOnly))
			return c, given
		}
		c.Ahead, given = day.Sub(now), true
	}
	return c, given
}

// whatIf is which images that run would be judged otherwise.
func (v *View) whatIf(r *http.Request) *listPage {
	q := readQuery(r.URL, whatIfPath, "threshold", "onlyFixed", "kev", "minCVEAge", "minFixAge", "day", "outcome")
	c, given := q.change(v.now())
	outcome := q.one("outcome", anyValue, string(report.Rejected), string(report.Accepted))
	page := v.listPage(q, "What if", whatIfPath)
	page.Action = whatIfPath
	page.Intro = []string{
		"Which images that run would be judged otherwise by other rules, or on a day to come, when exceptions and graces have ended. Nothing is changed and nothing is scanned for it. Whether a Constraint denies a Pod for the verdict is Gatekeeper's.",
	}
	page.Fields = []field{
		choice("Severity that rejects", "threshold", q.get("threshold"), anyOf(severityNames()...)...),
		choice("Only with a fix", "onlyFixed", q.get("onlyFixed"), anyOf(yes, no)...),
		choice("Known to be exploited", "kev", q.get("kev"), anyOf(string(verdict.KEVReport), string(verdict.KEVDeny))...),
		{Label: "Grace after publication, as 7d", Name: "minCVEAge", Value: q.get("minCVEAge")},
		{Label: "Grace after a fix, as 7d", Name: "minFixAge", Value: q.get("minFixAge")},
		{Label: "On the day, as 2026-12-31", Name: "day", Value: q.get("day")},
		choice("Verdict then", "outcome", outcome, anyOf(string(report.Rejected), string(report.Accepted))...),
	}
	for i := range page.Fields {
		if f := &page.Fields[i]; len(f.Options) > 0 && f.Name != "outcome" {
			f.Options[0].Name = "as it is"
		}
	}
	page.Hidden = hidden(q)
	l := list{ID: "list", Empty: "No image that is known to run would be judged otherwise."}
	l.Table.Columns = []column{
		{Key: "workload", Name: "Workload"}, {Key: "namespace", Name: "Namespace"}, {Key: "image", Name: "Image"}, {Key: "status", Name: "Verdict now"}, {Key: "then", Name: "Verdict then"},
		{Key: "message", Name: "Why then", Class: long}, {Key: "needs", Name: "Exceptions that it would take", Class: long}, {Key: "pods", Name: "Pods", Class: numbers}, {Key: "digest", Name: "Digest", Class: brief},
	}
	var changed []*trial
	if given && len(*q.wrong) == 0 {
		judge, err := v.o.Judge.Under(c)
		if err != nil {
			q.refuse("It cannot be judged so: %v.", err)
		} else {
			changed, page.Warnings = v.tried(r.Context(), judge)
		}
	}
	if !given {
		l.Empty = "Choose what would be otherwise."
	}
	rejected := 0
	shown := slices.DeleteFunc(changed, func(t *trial) bool {
		if t.then.status == report.Rejected {
			rejected++
		}
		return outcome != anyValue && string(t.then.status) != outcome
	})
	if given {
		l.Text = []string{fmt.Sprintf("%d images in workloads would be judged otherwise: %d of them rejected.", len(changed), rejected)}
	}
	rows, p := pages(q, shown, "images in workloads")
	l.Pager = &p
	for _, t := range rows {
		c := v.useRow(&t.use)
		l.Table.Rows = append(l.Table.Rows, []cell{c[0], c[1], c[2], c[3], statusCell(t.then.status), {Text: t.then.message}, {Text: strings.Join(few(t.needs), ", ")}, c[5], c[8]})
	}
	page.Lists = []list{l}
	return page
}

// tried are the images in workloads that by would judge otherwise, those that it would
// reject first, and what is not known. Reports are read one after the other.
func (v *View) tried(ctx context.Context, by *verdict.Judge) (changed []*trial, warnings []string) {
	s, warnings := v.runningNow()
	warnings = append(warnings, v.unfinished()...)
	select {
	case v.trying <- struct{}{}:
		defer func() { <-v.trying }()
	case <-ctx.Done():
		return nil, append(warnings, "Nothing was judged: others ask the same, and one is answered after the other.")
	}
	at := v.verdicts()
	var all []*trial
	unknown := 0
	questions := map[string][]question{}
	for _, n := range s.Namespaces() {
		for _, p := range n.Places {
			t := &trial{use: use{Place: p, known: true}}
			if !t.asks(at, questions) {
				unknown++
				continue
			}
			all = append(all, t)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(questions)) {
		scan, err := v.o.Reports.Peek(ctx, key)
		if err != nil || scan == nil || v.o.Scans.Expired(scan) {
			for _, q := range questions[key] {
				q.trial.failed = true
			}
			continue
		}
		for _, q := range questions[key] {
			q.judge(v.o.Judge, by, scan)
		}
	}
	for _, t := range all {
		switch {
		case t.failed:
			unknown++
		case t.then.status != t.status:
			changed = append(changed, t)
		}
	}
	if unknown > 0 {
		warnings = append(warnings, fmt.Sprintf("Of %d images in workloads there is no report that counts, or it could not be read in time: what would become of them is not known.", unknown))
	}
	slices.SortFunc(changed, func(a, b *trial) int {
		return cmp.Or(cmp.Compare(badness(b.then.status), badness(a.then.status)), cmp.Compare(a.Workload.Namespace, b.Workload.Namespace), cmp.Compare(a.workload(), b.workload()), cmp.Compare(a.Image, b.Image))
	})
	return changed, warnings
}

// asks notes by which reports t is judged, and is false where that is not known.
func (t *trial) asks(at *verdicts, questions map[string][]question) bool {
	for _, d := range t.Digests() {
		images, all := at.images(t.Workload.Namespace, d)
		if len(images) == 0 {
			continue
		}
		t.failed = !all
		for n := range images {
			for _, m := range images[n].Manifests {
				questions[m.Key] = append(questions[m.Key], question{t, &images[n], m})
			}
		}
		return true
	}
	return false
}

// judge adds what one report means for the trial, now and by the other rules.
func (q *question) judge(now ListJudge, by *verdict.Judge, scan *report.Scan) {
	subject := verdict.Subject{Reference: q.image.Written, Digest: q.image.Digest, Manifest: q.manifest.Digest, Namespace: q.image.Namespace}
	t := q.trial
	if o := now.Judge(scan, subject); (answer{status: o.Status}).worse(t.answer) {
		t.answer = answer{o.Status, clean(o.Message)}
	}
	o := by.Judge(scan, subject)
	if (answer{status: o.Status}).worse(t.then) {
		t.then = answer{o.Status, clean(o.Message)}
	}
	if o.Status != report.Rejected || !by.Decides(o.Scan.Judgement) {
		return
	}
	for i := range o.Scan.Vulnerabilities {
		f := &o.Scan.Vulnerabilities[i]
		if id := clean(f.ID); by.Effect(f) == verdict.Rejects && !slices.Contains(t.needs, id) {
			t.needs = append(t.needs, id)
		}
	}
}
