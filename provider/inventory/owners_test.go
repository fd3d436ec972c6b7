package inventory

import (
	"fmt"
	"testing"
)

// A namespace that brings many owners loses its own, and not those of another that has
// fewer; what is removed makes room.
func TestOwnersAreBoundedByNamespace(t *testing.T) {
	o := newOwners(10)
	set := func(namespace, name string) {
		o.set(intern(namespace), ownerID{intern(kindReplicaSet), name}, controller{intern("Rollout"), intern("of-" + name)})
	}
	top := func(namespace, name string) Workload { return o.top(Workload{namespace, kindReplicaSet, name}, "") }
	for i := range 3 {
		set("small", fmt.Sprintf("before-%d", i))
	}
	for i := range 1000 {
		set("large", fmt.Sprintf("rs-%d", i))
	}
	set("small", "after")
	for _, name := range []string{"before-0", "before-1", "before-2", "after"} {
		if w := top("small", name); w != (Workload{"small", "Rollout", "of-" + name}) {
			t.Errorf("%s: %v", name, w)
		}
	}
	if !o.full || o.count != 10 || len(o.by[intern("large")]) != 6 {
		t.Errorf("full: %t, %d, of which %d", o.full, o.count, len(o.by[intern("large")]))
	}
	c := o.clone()
	o.removeKind(intern(kindReplicaSet))
	if o.count != 0 || len(o.by) != 0 || c.count != 10 || len(c.by) != 2 {
		t.Errorf("%d in %d namespaces; the copy has %d in %d", o.count, len(o.by), c.count, len(c.by))
	}
	o.full = false
	set("large", "again")
	if o.full || top("large", "again").Kind != "Rollout" {
		t.Error("there is no room for one")
	}
	o.set(intern("large"), ownerID{intern(kindReplicaSet), "again"}, controller{})
	if w := top("large", "again"); w.Kind != kindReplicaSet || o.count != 0 || len(o.by) != 0 {
		t.Errorf("%v: who has no controller is its own; %d are left", w, o.count)
	}
}
