package view

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/report"
)

const namespacesPath = "/namespaces"

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
	warnings = append(warnings, v.unfinished()...)
	page.Action, page.Warnings = namespacesPath, warnings
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
