package view

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/imagegate/imagegate/provider/inventory"
)

// Inventory says where images run. *inventory.Inventory is one.
type Inventory interface{ Snapshot() *inventory.Snapshot }

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
		return leastCell(n)
	}
	return unknown()
}
