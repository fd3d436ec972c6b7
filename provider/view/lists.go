package view

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// listPage is a page of lists, the first of which is filtered and sorted.
type listPage struct {
	page
	Intro    []string
	Warnings []string
	// Action is where the filter leads.
	Action string
	Fields []field
	Hidden []field
	Lists  []list
	// CSV and JSON are the first list in these formats.
	CSV, JSON string
	// code is the answer's status.
	code int

	query query
}

// listPage is the page of a list that is asked for by q.
func (v *View) listPage(q query, title, nav string) *listPage {
	return &listPage{page: v.page(title, nav), query: q, CSV: q.as(endingCSV), JSON: q.as(endingJSON)}
}

// list is a table under a heading.
type list struct {
	ID, Heading string
	Text        []string
	// All is where all of it is a list of its own.
	All   string
	Pager *pager
	Table table
	// Empty is said where there are no rows.
	Empty string
}

// field is one of a filter: a choice where it has options.
type field struct {
	Label, Name, Value string
	Options            []option
}

type option struct{ Name, Value string }

func choice(label, name, value string, options ...option) field {
	return field{Label: label, Name: name, Value: value, Options: options}
}

// listed makes the page of a list.
type listed func(r *http.Request) *listPage

// list serves a list as a page, or its rows by the ending.
func (v *View) list(make listed, ending string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := make(r)
		if wrong := *p.query.wrong; len(wrong) > 0 {
			v.refuse(w, r, ending, wrong)
			return
		}
		var b bytes.Buffer
		var err error
		kind := "text/html; charset=utf-8"
		switch l := &p.Lists[0]; ending {
		case endingCSV:
			kind, err = "text/csv; charset=utf-8", l.Table.writeCSV(&b, slices.Concat(p.Warnings, l.Pager.rest()))
		case endingJSON:
			kind, err = "application/json", l.Table.writeJSON(&b, *l.Pager, p.Warnings)
		default:
			err = v.pages.render(&b, "list.html", p)
		}
		if ending != "" {
			w.Header().Set("Content-Disposition", `attachment; filename="imagegate`+ending+`"`)
		}
		v.write(w, r, cmp.Or(p.code, http.StatusOK), kind, &b, err)
	}
}

// refuse says why a list is not shown.
func (v *View) refuse(w http.ResponseWriter, r *http.Request, ending string, wrong []string) {
	if ending != "" {
		http.Error(w, strings.Join(wrong, "\n"), http.StatusBadRequest)
		return
	}
	v.say(w, r, http.StatusBadRequest, "There is no such list", wrong...)
}

// write sends what was made, or that it could not be.
func (v *View) write(w http.ResponseWriter, r *http.Request, code int, kind string, b *bytes.Buffer, err error) {
	if err != nil {
		v.o.Logger.ErrorContext(r.Context(), "making a page", "path", cut(r.URL.Path), "error", err)
		http.Error(w, "the page could not be made; the provider's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // a client that is gone needs no answer
}

// messagePage says something.
type messagePage struct {
	page
	Text []string
}

func (v *View) say(w http.ResponseWriter, r *http.Request, code int, title string, text ...string) {
	var b bytes.Buffer
	err := v.pages.render(&b, "message.html", &messagePage{page: v.page(title, ""), Text: text})
	v.write(w, r, code, "text/html; charset=utf-8", &b, err)
}

func (v *View) notFound(w http.ResponseWriter, r *http.Request) {
	v.say(w, r, http.StatusNotFound, "There is no such page", "The list of images is a good place to begin.")
}

func (v *View) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := v.pages.assets[param(r, "name")]
	if !ok {
		v.notFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", a.kind)
	_, _ = w.Write(a.content) // a client that is gone needs no answer
}

// item is a row of the list of images: a report, or a scan that failed or is not over.
type item struct {
	*row
}

// items are all images that something is known of.
func (v *View) items() []*item {
	rows := v.index.list()
	out := make([]*item, 0, len(rows))
	there := map[string]bool{}
	for _, r := range rows {
		out = append(out, &item{row: r})
		there[r.digest] = true
	}
	now := v.now()
	for _, f := range v.o.Scans.Failed() {
		o := f.Order
		if o.Digest == "" || there[o.Digest] {
			continue
		}
		r := &row{digest: o.Digest, digests: []string{o.Digest, o.Image}, names: []string{o.Reference}, platform: clean(o.Platform), answer: answer{report.ScanFailed, clean(f.Message)}}
		if !now.Before(f.Until) {
			r.answer = answer{report.NotAvailable, "the last scan failed (" + clean(f.Message) + "); the image is scanned when it is asked for"}
		}
		r.nameless = r.answer
		if o.Namespace != "" {
			r.namespaces = []string{o.Namespace}
		}
		out = append(out, &item{row: r})
	}
	return out
}

// reference is how an item is called.
func (i *item) reference() string {
	if len(i.names) == 0 {
		return ""
	}
	return i.names[0]
}

func (i *item) matches(text string) bool {
	if text == "" || strings.Contains(i.digest, text) {
		return true
	}
	return slices.ContainsFunc(i.names, func(n string) bool { return strings.Contains(strings.ToLower(n), text) }) ||
		slices.Contains(i.namespaces, text)
}

// worst is the severity of the worst finding that counts; -1 when not known or none.
func (i *item) worst() report.Severity {
	if i.summary != nil {
		for _, s := range report.Severities() {
			if i.summary.Counts.Of(s) > 0 {
				return s
			}
		}
	}
	return -1
}

// exploited is how many findings are known to be; known is false when that is not.
func (i *item) exploited() (n int, known bool) {
	if i.summary == nil || i.summary.Risk == nil || i.summary.Risk.KnownExploited == nil {
		return -1, false
	}
	return *i.summary.Risk.KnownExploited, !i.summary.Risk.KnownExploitedAsOf.IsZero()
}

func (i *item) fixable() int {
	if i.summary == nil {
		return -1
	}
	n := 0
	for _, s := range report.Severities() {
		n += i.summary.Fixable.Of(s)
	}
	return n
}

func (i *item) total() int {
	if i.summary == nil {
		return -1
	}
	return i.summary.Total
}

// The filters of the list of images.
const (
	anyValue = ""
	yes      = "yes"
	no       = "no"
)

// images is the list of all images that there is a report of, or a failure.
func (v *View) images(r *http.Request) *listPage {
	q := readQuery(r.URL, imagesPath, "q", "status", "severity", "exploited", "fixable")
	text := strings.ToLower(q.get("q"))
	status := q.one("status", append([]string{anyValue}, statuses()...)...)
	severity, bySeverity := q.severity()
	onlyExploited, onlyFixable := q.only("exploited"), q.only("fixable")
	all := v.items()
	shown := slices.DeleteFunc(all, func(i *item) bool {
		n, _ := i.exploited()
		return !i.matches(text) || status != anyValue && string(i.status) != status || bySeverity && i.worst() < severity ||
			onlyExploited && n <= 0 || onlyFixable && i.fixable() <= 0
	})
	by, turned := q.sorting("status", "image", "exploited", "worst", "findings", "fixable", "scanned", "database")
	sortItems(shown, by, turned)
	rows, p := pages(q, shown, "images")
	page := v.listPage(q, "Images", imagesPath)
	page.Action, page.Warnings = imagesPath, v.unfinished()
	page.Intro = []string{"What there is a report of, or a scan that failed, worst first. An image of several platforms has a row for each. The verdict is the worst for those who have asked since this replica of the provider has started."}
	page.Fields = append([]field{
		{Label: "Image, digest or namespace", Name: "q", Value: q.get("q")},
		choice("Verdict", "status", status, anyOf(statuses()...)...),
	}, riskFields(q)...)
	page.Hidden = hidden(q)
	l := list{ID: "list", Pager: &p, Empty: "No image is like that."}
	l.Table.Columns = q.head(by, turned,
		column{Key: "image", Name: "Image", Sort: "image"},
		column{Key: "namespaces", Name: "Namespaces"},
		column{Key: "status", Name: "Verdict", Sort: "status"},
		column{Key: "message", Name: "Why", Class: long},
		column{Key: "worst", Name: "Worst", Sort: "worst"},
		column{Key: "findings", Name: "Findings", Class: numbers, Sort: "findings"},
		column{Key: "fixable", Name: "With a fix", Class: numbers, Sort: "fixable"},
		column{Key: "exploited", Name: "Exploited", Class: numbers, Sort: "exploited"},
		column{Key: "pods", Name: "Runs in Pods", Class: numbers},
		column{Key: "scanned", Name: "Scanned", Sort: "scanned"},
		column{Key: "database", Name: "Vulnerability data", Sort: "database"},
		column{Key: "digest", Name: "Digest", Class: brief},
	)
	for _, i := range rows {
		l.Table.Rows = append(l.Table.Rows, v.imageRow(i))
	}
	page.Lists = []list{l}
	return page
}

func (v *View) imageRow(i *item) []cell {
	name := cell{Text: "not asked for since the start", Link: imagePath + url.PathEscape(i.digest), Class: "quiet"}
	if len(i.names) > 0 {
		name.Text, name.More = clean(i.names[0]), few(i.names[1:])
	}
	if i.platform != "" {
		name.More = append(name.More, i.platform)
	}
	worst := unknown()
	switch s := i.worst(); {
	case i.summary != nil && s >= 0:
		worst = cell{Text: s.String(), Class: s.String()}
	case i.summary != nil:
		worst = cell{Text: "none"}
	}
	return []cell{
		name,
		{Text: strings.Join(few(i.namespaces), ", ")},
		statusCell(i.status),
		{Text: i.message},
		worst,
		countCell(i.total(), i.summary != nil),
		countCell(i.fixable(), i.summary != nil),
		exploitedCell(i.exploited()),
		v.podsCell(i.digests),
		v.timeCell(i.scanned),
		v.timeCell(i.database),
		{Text: clean(i.digest)},
	}
}

func statusCell(s report.Status) cell { return cell{Text: string(s), Status: s} }

// statuses are the four, the worst first.
func statuses() []string {
	return []string{string(report.Rejected), string(report.ScanFailed), string(report.NotAvailable), string(report.Accepted)}
}

// anyOf are the options of a choice that need not be made.
func anyOf(values ...string) []option {
	out := []option{{"all", anyValue}}
	for _, v := range values {
		out = append(out, option{v, v})
	}
	return out
}

func countCell(n int, known bool) cell {
	if !known {
		return unknown()
	}
	return numberCell(n)
}

// exploitedCell is a number that is the least where not all is known.
func exploitedCell(n int, known bool) cell {
	switch {
	case known && n > 0:
		c := numberCell(n)
		c.Class = "exploited"
		return c
	case known:
		return numberCell(n)
	case n > 0:
		c := leastCell(n)
		c.Class = "exploited"
		return c
	}
	return unknown()
}

func (v *View) timeCell(t time.Time) cell {
	if t.IsZero() {
		return unknown()
	}
	return cell{Text: stamp(t), More: []string{age(t, v.now())}, Value: t.UTC().Format(time.RFC3339)}
}

// few are as many of somebody's texts as a cell has.
func few(s []string) []string {
	out := make([]string, 0, min(len(s), maxCell)+1)
	for _, x := range s[:min(len(s), maxCell)] {
		out = append(out, clean(x))
	}
	if more := len(s) - maxCell; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return out
}

func hidden(q query) (out []field) {
	for _, name := range []string{"sort", "size"} {
		if s := q.get(name); s != "" {
			out = append(out, field{Name: name, Value: s})
		}
	}
	return out
}

// riskFields choose among what has findings by how bad these are.
func riskFields(q query) []field {
	return []field{
		choice("Severity at least", "severity", q.get("severity"), anyOf(severityNames()...)...),
		choice("Known to be exploited", "exploited", q.get("exploited"), option{"all", ""}, option{"only these", yes}),
		choice("With a fix", "fixable", q.get("fixable"), option{"all", ""}, option{"only these", yes}),
	}
}

func severityNames() (out []string) {
	for _, s := range report.Severities() {
		out = append(out, s.String())
	}
	return out
}

// sortItems sorts the worst, the most, or the latest first; turned, last. Names are in
// their order.
func sortItems(all []*item, by string, turned bool) {
	order := orders[*item]{
		"status": func(a, b *item) int { return cmp.Compare(badness(b.status), badness(a.status)) },
		"image":  func(a, b *item) int { return cmp.Compare(a.reference(), b.reference()) },
		"exploited": func(a, b *item) int {
			x, _ := a.exploited()
			y, _ := b.exploited()
			return cmp.Compare(y, x)
		},
		"worst":    func(a, b *item) int { return cmp.Compare(b.worst(), a.worst()) },
		"findings": func(a, b *item) int { return cmp.Compare(b.total(), a.total()) },
		"fixable":  func(a, b *item) int { return cmp.Compare(b.fixable(), a.fixable()) },
		"scanned":  func(a, b *item) int { return b.scanned.Compare(a.scanned) },
		"database": func(a, b *item) int { return b.database.Compare(a.database) },
		"digest":   func(a, b *item) int { return cmp.Compare(a.digest, b.digest) },
		"key":      func(a, b *item) int { return cmp.Compare(a.key, b.key) },
	}
	sortBy(all, by, turned, order, "exploited", "worst", "findings", "image", "digest", "key")
}

// unfinished says what the index does not have.
func (v *View) unfinished() (out []string) {
	s := v.index.state()
	switch {
	case !s.complete:
		out = append(out, fmt.Sprintf("The reports are still being read: %d of %d so far. What is not listed may exist.", s.rows, max(s.rows, s.stored)))
	case s.unread > 0:
		out = append(out, fmt.Sprintf("%d reports could not be read: the store does not answer, or they are damaged or a newer replica's. What is not listed may exist.", s.unread))
	}
	return out
}
