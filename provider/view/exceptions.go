package view

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// exceptions are those of the exceptions file.
func (v *View) exceptions(r *http.Request) *listPage {
	q := readQuery(r.URL, exceptionsPath, "state")
	used := map[string]int{}
	for _, r := range v.index.list() {
		for _, by := range r.suppressedBy {
			used[by]++
		}
	}
	s := v.index.state()
	known := s.complete && s.unread == 0
	p := v.listPage(q, "Exceptions", exceptionsPath)
	p.Action, p.Warnings = exceptionsPath, v.unfinished()
	p.Intro = []string{
		"Of the file of verdict.exceptionsFile, those first that end first. Those that end within 14 days are expiring; what has expired does nothing.",
		"How many images an exception is used for is known of the images that were asked for since this replica of the provider has started; one that is not used may be for an image that was not.",
	}
	state := q.one("state", "", "expired", "expiring", "active", "unused")
	p.Fields = []field{choice("State", "state", state, option{"all", ""}, option{"expired", "expired"}, option{"expiring", "expiring"}, option{"active", "active"}, option{"not used", "unused"})}
	all := v.o.Judge.Exceptions()
	l := list{ID: "list", Empty: "There is no such exception."}
	l.Table.Columns = []column{
		{Key: "vulnerability", Name: "Vulnerability"}, {Key: "state", Name: "State"}, {Key: "until", Name: "Until"}, {Key: "used", Name: "Used for images", Class: numbers},
		{Key: "images", Name: "Images"}, {Key: "namespaces", Name: "Namespaces"}, {Key: "packages", Name: "Packages"}, {Key: "reason", Name: "Reason", Class: long}, {Key: "conditions", Name: "Holds only"},
	}
	var rows [][]cell
	for _, e := range all {
		n := used[e.By]
		if state == "unused" && n > 0 || state != "" && state != "unused" && e.State != state {
			continue
		}
		uses := numberCell(n)
		if !known && n == 0 {
			uses = unknown()
		}
		var conditions []string
		if e.KEVDeny {
			conditions = append(conditions, "for what is not known to be exploited")
		}
		if e.MinFixAge != nil {
			conditions = append(conditions, "until a fix has been there for "+e.MinFixAge.String())
		}
		rows = append(rows, []cell{
			{Text: clean(e.CVE), Link: vulnerabilityPath + url.PathEscape(e.CVE)},
			{Text: e.State, Class: map[string]string{"expired": "exploited", "expiring": "expiring", "active": "ok"}[e.State]},
			{Text: clean(e.Until)}, uses,
			{Text: strings.Join(few(e.Images), ", ")}, {Text: cmp.Or(strings.Join(few(e.Namespaces), ", "), "all")}, {Text: cmp.Or(strings.Join(few(e.Packages), ", "), "all")},
			textCell(e.Reason), {Text: strings.Join(conditions, "; ")},
		})
	}
	shown, pg := pages(q, rows, "exceptions")
	l.Pager, l.Table.Rows = &pg, shown
	p.Lists = []list{l}
	return p
}
