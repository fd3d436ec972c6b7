package view

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	runningPath    = "/running"
	namespacesPath = "/namespaces"
)

// notKnown is the filter for that of which there is no verdict.
const notKnown = "unknown"

// runningNow is what runs, and what is not known of that.
func (v *View) runningNow() (s *inventory.Snapshot, warnings []string) {
	if v.o.Inventory == nil {
		return inventory.Empty(""), []string{"What runs is not known: the provider does not follow it (inventory.enabled)."}
	}
	s = v.o.Inventory.Snapshot()
	switch state := s.State(); state.Phase {
	case inventory.Unknown:
		warnings = append(warnings, "What runs is not known: "+clean(state.Reason))
	case inventory.Incomplete:
		warnings = append(warnings, "More may run than is listed: "+clean(state.Reason))
	}
	return s, warnings
}

// use is an image in a workload with what is answered about it.
type use struct {
	*inventory.Place
	answer
	known bool
}

// useOf is by what the Pods have been pinned to; where they are not, by what runs.
func useOf(p *inventory.Place, at *verdicts) use {
	u := use{Place: p}
	u.answer, u.known = at.of(p.Workload.Namespace, p.Digests()...)
	return u
}

// verdict is a status, or that there is none.
func (u *use) verdict() string {
	if !u.known {
		return notKnown
	}
	return string(u.status)
}

// badness has what nobody knows among what is not available.
func (u *use) badness() int {
	if !u.known {
		return badness(report.NotAvailable)
	}
	return badness(u.status)
}

// name is the image without the digest that it is pinned to.
func (u *use) name() string {
	name, _, _ := strings.Cut(u.Image, "@")
	return name
}

func (u *use) workload() string { return u.Workload.Kind + "/" + u.Workload.Name }

func (u *use) matches(text string) bool {
	return text == "" || strings.Contains(strings.ToLower(strings.Join(append(u.Digests(), u.Image, u.Original, u.Workload.Namespace, u.workload()), "\n")), text)
}

// running is the list of all images in workloads, or of those in which something was
// found.
func (v *View) running(r *http.Request) *listPage {
	q := readQuery(r.URL, runningPath, "q", "namespace", "status", "vulnerability", "package")
	verdictOf := append(statuses(), notKnown)
	text, namespace, status := strings.ToLower(q.get("q")), q.get("namespace"), q.one("status", append([]string{anyValue}, verdictOf...)...)
	s, warnings := v.runningNow()
	warnings = append(warnings, v.unfinished()...)
	var found *findings
	if id, name := q.get("vulnerability"), q.get("package"); id != "" && name != "" {
		q.refuse("Ask for a vulnerability or for a package.")
	} else if id != "" {
		found = newFindings(v.index.ofVulnerability(id))
	} else if name != "" {
		found = newFindings(v.index.ofPackage(name))
	}
	at := v.verdicts()
	var shown []use
	unseen := 0
	for _, n := range s.Namespaces() {
		if namespace != "" && n.Name != namespace {
			continue
		}
		for _, p := range n.Places {
			if found != nil && !at.whole(p.Digests()) {
				unseen++
			}
			if found != nil && !found.in(p) {
				continue
			}
			if u := useOf(p, at); u.matches(text) && (status == anyValue || u.verdict() == status) {
				shown = append(shown, u)
			}
		}
	}
	if unseen > 0 {
		warnings = append(warnings, fmt.Sprintf("Of %d images in workloads it is not known what is in them: they may have it, and are not listed.", unseen))
	}
	by, turned := q.sorting("status", "namespace", "workload", "image", "pods", "since")
	sortUses(shown, by, turned)
	rows, p := pages(q, shown, "images in workloads")
	page := v.listPage(q, "Running", runningPath)
	page.Action, page.Warnings = runningPath, warnings
	page.Intro = []string{
		"Which images run, with what a Pod of the same namespace would be told of them now: the worst, where it has asked by several names, and without exceptions for named images, where it has not asked since this replica of the provider has started. Nothing that runs is stopped: this is what would not be let in again.",
	}
	page.Fields = []field{
		{Label: "Image, digest, namespace or workload", Name: "q", Value: q.get("q")},
		{Label: "Namespace, its whole name", Name: "namespace", Value: namespace},
		choice("Verdict", "status", status, anyOf(verdictOf...)...),
		{Label: "With a vulnerability", Name: "vulnerability", Value: q.get("vulnerability")},
		{Label: "With a finding in a package", Name: "package", Value: q.get("package")},
	}
	page.Hidden = hidden(q)
	l := list{ID: "list", Pager: &p, Empty: "Nothing that is known to run is like that."}
	l.Table.Columns = q.head(by, turned,
		column{Key: "workload", Name: "Workload", Sort: "workload"},
		column{Key: "namespace", Name: "Namespace", Sort: "namespace"},
		column{Key: "image", Name: "Image", Sort: "image"},
		column{Key: "status", Name: "Verdict", Sort: "status"},
		column{Key: "message", Name: "Why", Class: long},
		column{Key: "pods", Name: "Pods", Class: numbers, Sort: "pods"},
		column{Key: "since", Name: "Since", Sort: "since"},
		column{Key: "digest", Name: "Digest", Class: brief},
	)
	if found != nil {
		l.Table.Columns = append(l.Table.Columns, column{Key: "found", Name: "Found in it"})
	}
	for n := range rows {
		cells := v.useRow(&rows[n])
		if found != nil {
			cells = append(cells, found.cell(rows[n].Place))
		}
		l.Table.Rows = append(l.Table.Rows, cells)
	}
	page.Lists = []list{l}
	return page
}

// sortUses sorts the worst first, and what is not known before what is accepted.
func sortUses(all []use, by string, turned bool) {
	sortBy(all, by, turned, orders[use]{
		"status":    func(a, b use) int { return cmp.Compare(b.badness(), a.badness()) },
		"namespace": func(a, b use) int { return cmp.Compare(a.Workload.Namespace, b.Workload.Namespace) },
		"workload":  func(a, b use) int { return cmp.Compare(a.workload(), b.workload()) },
		"image":     func(a, b use) int { return cmp.Compare(a.Image, b.Image) },
		"pods":      func(a, b use) int { return cmp.Compare(b.Pods, a.Pods) },
		"since":     func(a, b use) int { return b.Since.Compare(a.Since) },
		"digest": func(a, b use) int {
			return cmp.Or(cmp.Compare(a.Pinned, b.Pinned), cmp.Compare(a.Running, b.Running), cmp.Compare(a.Original, b.Original))
		},
	}, "namespace", "workload", "image", "digest")
}

func (v *View) useRow(u *use) []cell {
	image, verdict, digest := textCell(u.name()), unknown(), unknown()
	if u.Original != "" && u.Original != u.name() {
		image.More = []string{"written as " + clean(u.Original)}
	}
	if all := u.Digests(); len(all) > 0 {
		digest = textCell(all[0])
		image.Link = imagePath + url.PathEscape(all[0])
	}
	if u.known {
		verdict = statusCell(u.status)
	}
	return []cell{
		textCell(u.workload()), {Text: clean(u.Workload.Namespace), Link: address(runningPath, url.Values{"namespace": {u.Workload.Namespace}})},
		image, verdict, {Text: u.message}, numberCell(u.Pods), v.timeCell(u.Since), digest,
	}
}

// findings are some in images, by the digests that these go by.
type findings struct {
	by map[string][]*occurrence
}

func newFindings(all []occurrence) *findings {
	f := &findings{map[string][]*occurrence{}}
	for n := range all {
		for _, d := range all[n].item.digests {
			f.by[d] = append(f.by[d], &all[n])
		}
	}
	return f
}

func (f *findings) of(p *inventory.Place) (out []*occurrence) {
	for _, d := range p.Digests() {
		out = append(out, f.by[d]...)
	}
	return out
}

func (f *findings) in(p *inventory.Place) bool { return len(f.of(p)) > 0 }

// cell is what was found in the image of a place.
func (f *findings) cell(p *inventory.Place) cell {
	var all []string
	for _, o := range f.of(p) {
		text := o.id + " in " + o.pkg + " " + o.installed
		if o.fixed != "" {
			text += ", fixed in " + o.fixed
		}
		if o.suppressed {
			text += " (suppressed)"
		}
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return cell{Text: strings.Join(few(all), "; ")}
}

// usedBy are the workloads that run images with findings; all of them are at link.
func (v *View) usedBy(all []occurrence, link string) list {
	l := list{ID: "workloads", Heading: "Workloads that run it", All: link, Empty: "No workload is known to run an image that has it."}
	s, warnings := v.runningNow()
	l.Text = warnings
	found, at := newFindings(all), v.verdicts()
	var shown []use
	for _, n := range s.Namespaces() {
		for _, p := range n.Places {
			if found.in(p) {
				shown = append(shown, useOf(p, at))
			}
		}
	}
	sortUses(shown, "status", false)
	l.Table.Columns = []column{{Key: "workload", Name: "Workload"}, {Key: "namespace", Name: "Namespace"}, {Key: "image", Name: "Image"}, {Key: "status", Name: "Verdict"}, {Key: "pods", Name: "Pods", Class: numbers}, {Key: "since", Name: "Since"}}
	for n := range shown[:min(len(shown), maxListed)] {
		c := v.useRow(&shown[n])
		l.Table.Rows = append(l.Table.Rows, []cell{c[0], c[1], c[2], c[3], c[5], c[6]})
	}
	if more := len(shown) - maxListed; more > 0 {
		l.Text = append(l.Text, fmt.Sprintf("These are the first; there are %d more.", more))
	}
	return l
}

// namespaceRow is what runs in a namespace, and what was not let in.
type namespaceRow struct {
	name          string
	pods, leftOut int
	workloads     map[inventory.Workload]bool
	// images have their verdicts, by digest; where there is none by name.
	images  map[string]string
	blocked int
}

func (n *namespaceRow) of(verdict string) (count int) {
	for _, v := range n.images {
		if v == verdict {
			count++
		}
	}
	return count
}

// namespaces is the list of those where something runs, or was to.
func (v *View) namespaces(r *http.Request) *listPage {
	q := readQuery(r.URL, namespacesPath, "q")
	text := strings.ToLower(q.get("q"))
	s, warnings := v.runningNow()
	at := v.verdicts()
	var blocked denials.List
	if v.o.Denials != nil {
		blocked = v.o.Denials.List(denials.Filter{Since: v.now().Add(-lately)})
	}
	all := map[string]*namespaceRow{}
	row := func(name string) *namespaceRow {
		if all[name] == nil {
			all[name] = &namespaceRow{name: name, workloads: map[inventory.Workload]bool{}, images: map[string]string{}}
		}
		return all[name]
	}
	for _, n := range s.Namespaces() {
		in := row(n.Name)
		in.pods, in.leftOut = n.Pods, n.LeftOut
		for _, p := range n.Places {
			u := useOf(p, at)
			in.workloads[p.Workload] = true
			in.images[cmp.Or(p.Pinned, p.Running, p.Image)] = u.verdict()
		}
	}
	for _, e := range blocked.Entries {
		row(e.Namespace).blocked++
	}
	shown := make([]*namespaceRow, 0, len(all))
	for name, n := range all {
		if strings.Contains(name, text) {
			shown = append(shown, n)
		}
	}
	counts := func(verdict string) func(a, b *namespaceRow) int {
		return func(a, b *namespaceRow) int { return cmp.Compare(b.of(verdict), a.of(verdict)) }
	}
	by, turned := q.sorting(string(report.Rejected), "namespace", "pods", "images", "blocked", string(report.ScanFailed), string(report.NotAvailable), notKnown)
	sortBy(shown, by, turned, orders[*namespaceRow]{
		"namespace":                 func(a, b *namespaceRow) int { return cmp.Compare(a.name, b.name) },
		"pods":                      func(a, b *namespaceRow) int { return cmp.Compare(b.pods+b.leftOut, a.pods+a.leftOut) },
		"images":                    func(a, b *namespaceRow) int { return cmp.Compare(len(b.images), len(a.images)) },
		"blocked":                   func(a, b *namespaceRow) int { return cmp.Compare(b.blocked, a.blocked) },
		string(report.Rejected):     counts(string(report.Rejected)),
		string(report.ScanFailed):   counts(string(report.ScanFailed)),
		string(report.NotAvailable): counts(string(report.NotAvailable)),
		notKnown:                    counts(notKnown),
	}, "blocked", "namespace")
	rows, p := pages(q, shown, "namespaces")
	page := v.listPage(q, "Namespaces", namespacesPath)
	page.Action, page.Warnings = namespacesPath, append(warnings, v.unfinished()...)
	page.Intro = []string{"How many different images run in each namespace, by the verdict that a Pod of it would get now, and how many were not let in within a day."}
	page.Fields, page.Hidden = []field{{Label: "Namespace", Name: "q", Value: q.get("q")}}, hidden(q)
	l := list{ID: "list", Pager: &p, Empty: "No namespace is like that."}
	l.Table.Columns = q.head(by, turned,
		column{Key: "namespace", Name: "Namespace", Sort: "namespace"},
		column{Key: "pods", Name: "Pods", Class: numbers, Sort: "pods"},
		column{Key: "workloads", Name: "Workloads", Class: numbers},
		column{Key: "images", Name: "Images", Class: numbers, Sort: "images"},
		column{Key: string(report.Rejected), Name: "Rejected", Class: numbers, Sort: string(report.Rejected)},
		column{Key: string(report.ScanFailed), Name: "Scan failed", Class: numbers, Sort: string(report.ScanFailed)},
		column{Key: string(report.NotAvailable), Name: "No report", Class: numbers, Sort: string(report.NotAvailable)},
		column{Key: notKnown, Name: "Not known", Class: numbers, Sort: notKnown},
		column{Key: string(report.Accepted), Name: "Accepted", Class: numbers},
		column{Key: "blocked", Name: "Not let in within a day", Class: numbers, Sort: "blocked"},
	)
	for _, n := range rows {
		l.Table.Rows = append(l.Table.Rows, n.cells(s.State().Phase, blocked.Known))
	}
	page.Lists = []list{l}
	return page
}

// cells are the numbers as far as they are known.
func (n *namespaceRow) cells(phase inventory.Phase, blocked bool) []cell {
	count := func(i int) cell {
		switch {
		case phase == inventory.Complete && n.leftOut == 0:
			return numberCell(i)
		case i > 0:
			return leastCell(i)
		}
		return unknown()
	}
	out := []cell{
		{Text: clean(n.name), Link: address(runningPath, url.Values{"namespace": {n.name}})},
		count(n.pods), count(len(n.workloads)), count(len(n.images)),
	}
	for _, verdict := range []string{string(report.Rejected), string(report.ScanFailed), string(report.NotAvailable), notKnown, string(report.Accepted)} {
		out = append(out, count(n.of(verdict)))
	}
	if !blocked {
		return append(out, unknown())
	}
	c := numberCell(n.blocked)
	if n.blocked > 0 {
		c.Link = address(blockedPath, url.Values{"q": {n.name}})
	}
	return append(out, c)
}
