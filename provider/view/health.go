package view

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/imagegate/imagegate/provider/service"
)

// health is how the parts of the provider are.
func (v *View) health(w http.ResponseWriter, r *http.Request) {
	p := &listPage{page: v.page("Health", healthPath), Warnings: v.unfinished()}
	parts := list{ID: "parts", Heading: "Parts", Empty: "Nothing is known of the parts."}
	parts.Table.Columns = []column{{Key: "part", Name: "Part"}, {Key: "state", Name: "State"}, {Key: "why", Name: "What is wrong"}}
	for _, c := range v.o.Ready(r.Context()) {
		state, why := cell{Text: "ok", Class: "ok"}, ""
		if c.Err != nil {
			why = clean(c.Err.Error())
			state = cell{Text: "limited", Class: "expiring"}
			if c.Needed {
				state = cell{Text: "not ready", Class: "exploited"}
			}
		}
		parts.Table.Rows = append(parts.Table.Rows, []cell{{Text: c.Name}, state, {Text: why}})
	}
	p.Lists = []list{parts, v.databases(), v.queue(), v.failures()}
	var b bytes.Buffer
	err := v.pages.render(&b, "list.html", p)
	v.write(w, r, http.StatusOK, "text/html; charset=utf-8", &b, err)
}

// databases are the scanners of the reports, with the age of their data.
func (v *View) databases() list {
	type of struct {
		reports, undated int
		newest           *row
		dated            *row
	}
	scanners := map[string]*of{}
	for _, r := range v.index.list() {
		s := scanners[r.scanner]
		if s == nil {
			s = &of{newest: r}
			scanners[r.scanner] = s
		}
		s.reports++
		if r.scanned.After(s.newest.scanned) {
			s.newest = r
		}
		if r.database.IsZero() {
			s.undated++
		} else if s.dated == nil || r.database.After(s.dated.database) {
			s.dated = r
		}
	}
	l := list{ID: "databases", Heading: "Scanners and their vulnerability data", Empty: v.index.state().none() + "."}
	l.Table.Columns = []column{{Key: "scanner", Name: "Scanner"}, {Key: "reports", Name: "Reports", Class: numbers}, {Key: "scanned", Name: "Latest scan"}, {Key: "database", Name: "Latest vulnerability data"}}
	for name, s := range scanners {
		database := unknown()
		if s.dated != nil {
			database = v.timeCell(s.dated.database)
		}
		l.Table.Rows = append(l.Table.Rows, []cell{{Text: name}, numberCell(s.reports), v.timeCell(s.newest.scanned), database})
	}
	slices.SortFunc(l.Table.Rows, func(a, b []cell) int { return cmp.Compare(a[0].Text, b[0].Text) })
	return l
}

// maxListed bounds the rows of a list that is not paged.
const maxListed = 100

func (v *View) queue() list {
	depth := v.o.Scans.Queue().Depth()
	l := list{ID: "queue", Heading: "Scans", Empty: "No scan waits or is under way."}
	l.Text = []string{fmt.Sprintf("%d wait, %d are under way, and %d can be at once, on all replicas together.", depth.Waiting, depth.Running, depth.Slots)}
	if depth.Slots == 0 {
		l.Text = append(l.Text, "No scan worker is running: what is asked for waits.")
	}
	l.Table.Columns = []column{{Key: "image", Name: "Image"}, {Key: "namespace", Name: "Namespace"}, {Key: "asked", Name: "Asked for"}, {Key: "replica", Name: "Made by"}, {Key: "last", Name: "Last attempt"}}
	items := v.o.Scans.Queue().List()
	for _, i := range items[:min(len(items), maxListed)] {
		l.Table.Rows = append(l.Table.Rows, []cell{
			textCell(orderOf(i.Work).Reference), textCell(i.Namespace), v.timeCell(i.Asked), textCell(cmp.Or(i.Holder, "waits")), textCell(i.Last),
		})
	}
	if more := len(items) - maxListed; more > 0 {
		l.Text = append(l.Text, fmt.Sprintf("These are the oldest; there are %d more.", more))
	}
	return l
}

func (v *View) failures() list {
	l := list{ID: "failures", Heading: "Failed scans", Empty: "No failure is remembered."}
	l.Table.Columns = []column{{Key: "image", Name: "Image"}, {Key: "namespace", Name: "Namespace"}, {Key: "why", Name: "Why", Class: long}, {Key: "row", Name: "In a row", Class: numbers}, {Key: "at", Name: "Last"}}
	failed := v.o.Scans.Failed()
	for n := len(failed) - 1; n >= max(0, len(failed)-maxListed); n-- {
		f := failed[n]
		l.Table.Rows = append(l.Table.Rows, []cell{textCell(cmp.Or(f.Order.Reference, f.ID)), textCell(f.Order.Namespace), textCell(f.Message), numberCell(f.Row), v.timeCell(f.At)})
	}
	if more := len(failed) - maxListed; more > 0 {
		l.Text = []string{fmt.Sprintf("These are the latest; there are %d more.", more)}
	}
	return l
}

// orderOf is what is to be scanned, zero when a newer replica wrote it so that it
// cannot be read.
func orderOf(work json.RawMessage) (o service.Order) {
	if err := json.Unmarshal(work, &o); err != nil {
		return service.Order{}
	}
	return o
}
