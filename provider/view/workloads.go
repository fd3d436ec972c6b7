package view

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/report"
)

const runningPath = "/running"

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
	case inventory.Complete:
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
			u := useOf(p, at)
			if found != nil && !(u.known && at.whole(p.Digests())) {
				unseen++
			}
			if found != nil && !found.in(p) {
				continue
			}
			if u.matches(text) && (status == anyValue || u.verdict() == status) {
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
		column{Key: "written", Name: "Written as, by the Pod's word"},
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
	if all := u.Digests(); len(all) > 0 {
		digest = textCell(all[0])
		image.Link = imagePath + url.PathEscape(all[0])
	}
	if u.known {
		verdict = statusCell(u.status)
	}
	return []cell{
		textCell(u.workload()), {Text: clean(u.Workload.Namespace), Link: address(runningPath, url.Values{"namespace": {u.Workload.Namespace}})},
		image, verdict, {Text: u.message}, numberCell(u.Pods), v.timeCell(u.Since), textCell(u.Original), digest,
	}
}
