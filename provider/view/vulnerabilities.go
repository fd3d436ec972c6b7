package view

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// vulnerabilityRow is what is known of one vulnerability over all images.
type vulnerabilityRow struct {
	id string
	// images have it, in counting of which it is not suppressed.
	images, counting int
	worst            report.Severity
	exploited, fix   bool
}

// vulnerabilities is the list of all that images have.
func (v *View) vulnerabilities(r *http.Request) *listPage {
	q := readQuery(r.URL, vulnerabilitiesPath, "q", "severity", "exploited", "fixable")
	severity, bySeverity := q.severity()
	onlyExploited, onlyFixable := q.only("exploited"), q.only("fixable")
	text := strings.ToUpper(q.get("q"))
	all := slices.DeleteFunc(v.index.vulnerabilities(text), func(f vulnerabilityRow) bool {
		return bySeverity && f.worst < severity || onlyExploited && !f.exploited || onlyFixable && !f.fix
	})
	by, turned := q.sorting("images", "id", "worst", "exploited")
	sortVulnerabilities(all, by, turned)
	rows, p := pages(q, all, "vulnerabilities")
	page := v.listPage(q, "Vulnerabilities", vulnerabilitiesPath)
	page.Action, page.Warnings = vulnerabilitiesPath, v.partial()
	page.Intro = []string{"What scans have found, that in the most images first. For what a package has, see its findings by the link of a vulnerability."}
	page.Fields = append([]field{{Label: "Vulnerability, by any of its names", Name: "q", Value: q.get("q")}}, riskFields(q)...)
	page.Hidden = hidden(q)
	l := list{ID: "list", Pager: &p, Empty: "No finding is like that in what was scanned."}
	l.Table.Columns = q.head(by, turned,
		column{Key: "vulnerability", Name: "Vulnerability", Sort: "id"},
		column{Key: "worst", Name: "Worst", Sort: "worst"},
		column{Key: "exploited", Name: "Known to be exploited", Sort: "exploited"},
		column{Key: "fix", Name: "Fix"},
		column{Key: "images", Name: "Images", Class: numbers, Sort: "images"},
		column{Key: "counting", Name: "Where it is not suppressed", Class: numbers},
	)
	for _, f := range rows {
		fix := "no fix yet"
		if f.fix {
			fix = "yes"
		}
		l.Table.Rows = append(l.Table.Rows, []cell{
			{Text: f.id, Link: vulnerabilityPath + url.PathEscape(f.id)},
			{Text: f.worst.String(), Class: f.worst.String()},
			listedCell(f.exploited),
			{Text: fix, Value: f.fix},
			numberCell(f.images), numberCell(f.counting),
		})
	}
	page.Lists = []list{l}
	return page
}

// listedCell says that a vulnerability is known to be exploited; that it is not listed
// may mean that nobody knows.
func listedCell(is bool) cell {
	if is {
		return cell{Text: "yes", Class: "exploited", Value: true}
	}
	return cell{Text: "not that is known", Unknown: true}
}

func sortVulnerabilities(all []vulnerabilityRow, by string, turned bool) {
	order := orders[vulnerabilityRow]{
		"images":    func(a, b vulnerabilityRow) int { return cmp.Compare(b.images, a.images) },
		"id":        func(a, b vulnerabilityRow) int { return cmp.Compare(a.id, b.id) },
		"worst":     func(a, b vulnerabilityRow) int { return cmp.Compare(b.worst, a.worst) },
		"exploited": func(a, b vulnerabilityRow) int { return number(b.exploited) - number(a.exploited) },
	}
	sortBy(all, by, turned, order, "exploited", "worst", "id")
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// vulnerabilities counts all findings by their identifiers, of which text, in upper
// case, is a part or another name.
func (x *index) vulnerabilities(text string) []vulnerabilityRow {
	x.mu.RLock()
	defer x.mu.RUnlock()
	type tally struct {
		vulnerabilityRow
		last *row
		// lastCounting is the last row in which it counts.
		lastCounting *row
	}
	all := make([]tally, len(x.ids.all))
	for _, r := range x.rows {
		for _, f := range r.finds {
			t := &all[f.id]
			if t.last != r {
				t.last = r
				t.images++
			}
			if f.flags&findSuppressed == 0 && t.lastCounting != r {
				t.lastCounting = r
				t.counting++
			}
			t.worst = max(t.worst, report.Severity(f.severity))
			t.exploited = t.exploited || f.flags&findExploited != 0
			t.fix = t.fix || f.flags&findFixed != 0
		}
	}
	also := x.identifiers(text)
	out := make([]vulnerabilityRow, 0, len(all))
	for n := range all {
		t := &all[n]
		if t.images == 0 {
			continue
		}
		t.id = x.ids.get(uint32(n))
		if text == "" || strings.Contains(strings.ToUpper(t.id), text) || also[uint32(n)] {
			out = append(out, t.vulnerabilityRow)
		}
	}
	return out
}

// partial says what the lists of findings do not have.
func (v *View) partial() []string {
	out := v.unfinished()
	if s := v.index.state(); s.partial > 0 {
		out = append(out, fmt.Sprintf("What %d of %d reports have found is not listed: their scanner does not list it, or there are too many findings to keep. These images may have more.", s.partial, s.rows))
	}
	return out
}

// occurrence is a finding in an image.
type occurrence struct {
	item                      *item
	id, pkg, installed, fixed string
	severity                  report.Severity
	exploited, suppressed     bool
}

// occurrences are the findings that want says yes to, by the numbers of their texts.
func (x *index) occurrences(want func() func(f *find) bool) (out []occurrence) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	is := want()
	for _, r := range x.rows {
		for n := range r.finds {
			f := &r.finds[n]
			if !is(f) {
				continue
			}
			o := occurrence{item: &item{row: r}, id: x.ids.get(f.id), severity: report.Severity(f.severity), exploited: f.flags&findExploited != 0, suppressed: f.flags&findSuppressed != 0}
			o.pkg, o.installed, o.fixed = splitPlace(x.places.get(f.where))
			out = append(out, o)
		}
	}
	return out
}

// ofVulnerability are the findings of a vulnerability, by any of its names.
func (x *index) ofVulnerability(id string) []occurrence {
	return x.occurrences(func() func(*find) bool {
		ids := x.identifiers(id)
		return func(f *find) bool { return ids[f.id] }
	})
}

// ofPackage are the findings in a package.
func (x *index) ofPackage(name string) []occurrence {
	return x.occurrences(func() func(*find) bool {
		places := map[uint32]bool{}
		for text, n := range x.places.at {
			if p, _, _ := splitPlace(text); p == name {
				places[n] = true
			}
		}
		return func(f *find) bool { return places[f.where] }
	})
}

// vulnerabilityAs serves the page of a vulnerability, or its rows by the ending.
func (v *View) vulnerabilityAs(w http.ResponseWriter, r *http.Request) {
	id, ending := param(r, "id"), ""
	for _, e := range []string{endingCSV, endingJSON} {
		if cut, ok := strings.CutSuffix(id, e); ok {
			id, ending = cut, e
		}
	}
	v.list(func(r *http.Request) *listPage { return v.vulnerability(r, id) }, ending)(w, r)
}

// vulnerability is where one vulnerability is, by any of its names.
func (v *View) vulnerability(r *http.Request, id string) *listPage {
	all := v.index.ofVulnerability(id)
	q := readQuery(r.URL, vulnerabilityPath+url.PathEscape(id))
	p := v.listPage(q, "Vulnerability "+clean(id), "")
	p.Warnings = v.partial()
	p.Intro = []string{"Images that have it, as far as they were scanned; those that are not let in for it or for something else first."}
	if len(all) == 0 {
		p.Intro = []string{"No image that was scanned is known to have it. That says nothing of images that were not scanned, and nothing of what no scan has looked at."}
		p.code = http.StatusNotFound
	}
	p.Lists = []list{v.found(q, all), v.usedBy(all, address(runningPath, url.Values{"vulnerability": {id}}))}
	return p
}

// packageFindings are the findings in a package.
func (v *View) packageFindings(r *http.Request) *listPage {
	q := readQuery(r.URL, packagePath, "name")
	name := q.get("name")
	all := v.index.ofPackage(name)
	p := v.listPage(q, "Package "+clean(name), "")
	p.Action, p.Warnings = packagePath, v.partial()
	p.Intro = []string{"Images in which something was found in the package. Reports do not list packages in which nothing was found."}
	p.Fields, p.Hidden = []field{{Label: "Package", Name: "name", Value: name}}, hidden(q)
	p.Lists = []list{v.found(q, all), v.usedBy(all, address(runningPath, url.Values{"package": {name}}))}
	return p
}

// found lists findings with the images that have them.
func (v *View) found(q query, all []occurrence) list {
	by, turned := q.sorting("status", "image", "vulnerability", "package", "severity")
	order := orders[occurrence]{
		"status":        func(a, b occurrence) int { return cmp.Compare(badness(b.item.status), badness(a.item.status)) },
		"image":         func(a, b occurrence) int { return cmp.Compare(a.item.reference(), b.item.reference()) },
		"vulnerability": func(a, b occurrence) int { return cmp.Compare(a.id, b.id) },
		"package": func(a, b occurrence) int {
			return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.installed, b.installed))
		},
		"severity": func(a, b occurrence) int { return cmp.Compare(b.severity, a.severity) },
		"digest":   func(a, b occurrence) int { return cmp.Compare(a.item.digest, b.item.digest) },
		"key":      func(a, b occurrence) int { return cmp.Compare(a.item.key, b.item.key) },
	}
	sortBy(all, by, turned, order, "severity", "image", "digest", "vulnerability", "package", "key")
	rows, p := pages(q, all, "findings in images")
	l := list{ID: "list", Pager: &p, Empty: "There is none."}
	l.Table.Columns = q.head(by, turned,
		column{Key: "image", Name: "Image", Sort: "image"},
		column{Key: "namespaces", Name: "Namespaces"},
		column{Key: "status", Name: "Verdict on the image", Sort: "status"},
		column{Key: "vulnerability", Name: "Vulnerability", Sort: "vulnerability"},
		column{Key: "severity", Name: "Severity", Sort: "severity"},
		column{Key: "package", Name: "Package", Sort: "package"},
		column{Key: "installed", Name: "Installed"},
		column{Key: "fixed", Name: "Fixed in"},
		column{Key: "exploited", Name: "Known to be exploited"},
		column{Key: "suppressed", Name: "Suppressed"},
		column{Key: "pods", Name: "Runs in Pods", Class: numbers},
		column{Key: "scanned", Name: "Scanned"},
		column{Key: "digest", Name: "Digest", Class: brief},
	)
	for _, o := range rows {
		i := v.imageRow(o.item)
		fixed := cell{Text: cmp.Or(o.fixed, "no fix yet"), Value: o.fixed}
		suppressed := cell{Text: "no", Value: false}
		if o.suppressed {
			suppressed = cell{Text: "yes", Value: true}
		}
		l.Table.Rows = append(l.Table.Rows, []cell{
			i[0], i[1], i[2],
			{Text: o.id, Link: vulnerabilityPath + url.PathEscape(o.id)},
			{Text: o.severity.String(), Class: o.severity.String()},
			{Text: o.pkg, Link: address(packagePath, url.Values{"name": {o.pkg}})},
			{Text: o.installed}, fixed, listedCell(o.exploited), suppressed,
			v.podsCell(o.item.digests), v.timeCell(o.item.scanned), {Text: clean(o.item.digest)},
		})
	}
	return l
}
