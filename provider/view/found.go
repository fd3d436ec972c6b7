package view

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/inventory"
)

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
