package view

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/report"
)

// Denials says what was not let in. *denials.Record is one.
type Denials interface {
	List(f denials.Filter) denials.List
}

const blockedPath = "/blocked"

// The ages of what is shown as blocked. Controllers try again within 17 minutes.
const (
	stillTried = 30 * time.Minute
	lately     = 24 * time.Hour
)

// blocked is what was not let in, and not since, with what there is to do.
func (v *View) blocked(r *http.Request) *listPage {
	q := readQuery(r.URL, blockedPath, "q", "status", "since")
	page := v.listPage(q, "Blocked now", blockedPath)
	page.Action = blockedPath
	page.Intro = []string{
		"Images that somebody wanted to run and that were not accepted, and not since: the provider's word at the last attempt. Whether a Constraint then denied the Pod is Gatekeeper's.",
	}
	f := denials.Filter{Since: v.now().Add(-lately)}
	since := q.one("since", "day", "tried", "all")
	switch since {
	case "tried":
		f.Since = v.now().Add(-stillTried)
	case "all":
		f.Since = time.Time{}
	}
	bad := statuses()[:3]
	status := q.one("status", append([]string{anyValue}, bad...)...)
	if status != anyValue {
		f.Statuses = []report.Status{report.Status(status)}
	}
	page.Fields = []field{
		{Label: "Image, namespace, owner or user", Name: "q", Value: q.get("q")},
		choice("Verdict then", "status", status, anyOf(bad...)...),
		choice("Last tried", "since", since, option{"within a day", "day"}, option{"within half an hour", "tried"}, option{"ever", "all"}),
	}
	page.Hidden = hidden(q)
	l := list{ID: "list", Empty: "Nothing is remembered that was not let in and is like that."}
	l.Table.Columns = []column{
		{Key: "image", Name: "Image"}, {Key: "namespace", Name: "Namespace"}, {Key: "owner", Name: "Of"}, {Key: "status", Name: "Verdict then"}, {Key: "reason", Name: "Why", Class: long},
		{Key: "now", Name: "Verdict now"}, {Key: "do", Name: "What to do", Class: long}, {Key: "last", Name: "Last tried"}, {Key: "attempts", Name: "Attempts", Class: numbers}, {Key: "user", Name: "User"}, {Key: "digest", Name: "Digest", Class: brief},
	}
	var all denials.List
	if v.o.Denials != nil {
		all = v.o.Denials.List(f)
	}
	if !all.Known {
		page.Warnings = append(page.Warnings, "What was not let in is not known: it has not been read yet, or is not remembered (inventory.enabled).")
		l.Empty = "Nothing is known."
	}
	if all.Unreadable > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("%d that are remembered cannot be read: they are damaged, or a newer replica's.", all.Unreadable))
	}
	forgotten := 0
	for _, n := range all.Forgotten {
		forgotten += n
	}
	if forgotten > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("%d were forgotten for want of room (inventory.denials.bytes).", forgotten))
	}
	text := strings.ToLower(q.get("q"))
	entries := slices.DeleteFunc(all.Entries, func(e *denials.Entry) bool {
		return !strings.Contains(strings.ToLower(strings.Join([]string{e.Image, e.Digest, e.Namespace, e.Owner.Name, e.Pod, e.User}, "\n")), text)
	})
	rows, p := pages(q, entries, "images that were not let in")
	l.Pager = &p
	at := v.verdicts()
	for _, e := range rows {
		l.Table.Rows = append(l.Table.Rows, v.blockedRow(e, at))
	}
	page.Lists = []list{l}
	return page
}

func (v *View) blockedRow(e *denials.Entry, at *verdicts) []cell {
	image := textCell(e.Image)
	if e.Digest != "" {
		image.Link = imagePath + url.PathEscape(e.Digest)
	}
	of := textCell(e.Pod)
	if e.Owner != (owner.Reference{}) {
		of = textCell(string(e.Owner.Kind) + "/" + e.Owner.Name)
	}
	now, status := unknown(), e.Status
	if a, known := at.of(e.Namespace, e.Digest); known {
		now, status = statusCell(a.status), a.status
	}
	return []cell{
		image, textCell(e.Namespace), of, statusCell(e.Status), textCell(e.Reason), now, {Text: toDo(status)},
		v.timeCell(e.Last), {Text: fmt.Sprint(e.Count), Value: e.Count}, textCell(e.User), textCell(e.Digest),
	}
}

// toDo says what there is to do about an image of that verdict.
func toDo(s report.Status) string {
	switch s {
	case report.Accepted:
		return "it is accepted now: the next attempt is let in, if no Constraint is against it"
	case report.Rejected:
		return "upgrade what the image's page lists, or have an exception taken in"
	case report.NotAvailable:
		return "wait for the scan: a controller tries again by itself, a Pod has to be made again"
	default:
		return "mend what the reason says: the next attempt has it scanned again"
	}
}
