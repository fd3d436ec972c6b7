package view

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/report"
)

// Inventory says where images run. *inventory.Inventory is one.
type Inventory interface{ Snapshot() *inventory.Snapshot }

// Denials says what was not let in. *denials.Record is one.
type Denials interface {
	List(f denials.Filter) denials.List
}

const blockedPath = "/blocked"

// inventoryOff is said where nobody follows what runs.
const inventoryOff = "Where it runs is not known: the provider does not follow it (inventory.enabled)."

// runs is where an image runs that goes by one of the digests.
func (v *View) runs(digests []string) *runs {
	if v.o.Inventory == nil {
		return &runs{Said: inventoryOff}
	}
	s := v.o.Inventory.Snapshot()
	state := s.State()
	if state.Phase == inventory.Unknown {
		return &runs{Said: "Where it runs is not known: " + clean(state.Reason)}
	}
	at := map[inventory.Workload]int{}
	out := &runs{}
	pods, twice := 0, false
	for _, p := range places(s, digests) {
		n, ok := at[p.Workload]
		if !ok {
			n = len(out.Workloads)
			at[p.Workload] = n
			out.Workloads = append(out.Workloads, Workload{Namespace: p.Workload.Namespace, Owner: p.Workload.Kind + "/" + p.Workload.Name})
		}
		twice = twice || ok
		out.Workloads[n].Pods += p.Pods
		pods += p.Pods
	}
	slices.SortFunc(out.Workloads, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Owner, b.Owner))
	})
	incomplete := ""
	if state.Phase != inventory.Complete {
		incomplete = " It may run elsewhere too: " + clean(state.Reason)
	}
	if n := len(s.Undetermined()); n > 0 {
		incomplete += fmt.Sprintf(" Of %d images in workloads nobody can tell the digest yet: this may be one of them.", n)
	}
	if twice {
		incomplete += " A Pod that names the image in two ways counts twice."
	}
	if len(out.Workloads) == 0 {
		out.Said = "It runs nowhere that is known." + incomplete
		return out
	}
	out.Known = true
	out.Said = fmt.Sprintf("%d Pods, as of %s.%s", pods, stamp(state.At), incomplete)
	if more := len(out.Workloads) - maxListed; more > 0 {
		out.Workloads = out.Workloads[:maxListed]
		out.Said += fmt.Sprintf(" These are the first; there are %d workloads more.", more)
	}
	return out
}

// places are those that have one of the digests, each once.
func places(s *inventory.Snapshot, digests []string) (out []*inventory.Place) {
	for _, d := range digests {
		i, ok := s.Image(d)
		if !ok {
			continue
		}
		for _, p := range i.Places {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// podsCell is in how many Pods an image runs: the least where more may.
func (v *View) podsCell(digests []string) cell {
	if v.o.Inventory == nil {
		return unknown()
	}
	s := v.o.Inventory.Snapshot()
	n := 0
	for _, d := range digests {
		if i, ok := s.Image(d); ok {
			n = max(n, i.Pods) // a Pod goes by the digest of the index and that of the manifest
		}
	}
	switch {
	case s.State().Phase == inventory.Complete && len(s.Undetermined()) == 0:
		return numberCell(n)
	case n > 0:
		return cell{Text: fmt.Sprintf("at least %d", n)}
	}
	return unknown()
}

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
	status := q.one("status", anyValue, string(report.Rejected), string(report.ScanFailed), string(report.NotAvailable))
	if status != anyValue {
		f.Statuses = []report.Status{report.Status(status)}
	}
	page.Fields = []field{
		{Label: "Image, namespace, owner or user", Name: "q", Value: q.get("q")},
		choice("Verdict then", "status", status, option{"all", ""}, option{string(report.Rejected), string(report.Rejected)}, option{string(report.ScanFailed), string(report.ScanFailed)}, option{string(report.NotAvailable), string(report.NotAvailable)}),
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
	for _, e := range rows {
		l.Table.Rows = append(l.Table.Rows, v.blockedRow(e))
	}
	page.Lists = []list{l}
	return page
}

func (v *View) blockedRow(e *denials.Entry) []cell {
	image := textCell(e.Image)
	if e.Digest != "" {
		image.Link = imagePath + url.PathEscape(e.Digest)
	}
	of := textCell(e.Pod)
	if e.Owner != (owner.Reference{}) {
		of = textCell(string(e.Owner.Kind) + "/" + e.Owner.Name)
	}
	images, all := v.o.Names.ofDigest(e.Digest)
	status, known := v.index.statusOf(images, e.Digest)
	known = known && (all || status != report.Accepted) // of the other names nothing is known
	now := unknown()
	if known {
		now = cell{Text: string(status), Status: status}
	} else {
		status = e.Status
	}
	return []cell{
		image, textCell(e.Namespace), of, {Text: string(e.Status), Status: e.Status}, textCell(e.Reason), now, {Text: toDo(status)},
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
