package inventory

import (
	"maps"
	"strings"
)

// The kinds whose controllers are looked up.
const (
	kindReplicaSet = "ReplicaSet"
	kindJob        = "Job"
)

// owners is who controls ReplicaSets and Jobs. It is not safe for concurrent use;
// a snapshot has a copy of its own.
type owners struct {
	// most bounds the entries, count is how many there are.
	most, count int
	// by has only those that have a controller, by their namespaces.
	by map[text]map[ownerID]controller
	// full says that there were more.
	full bool
}

// ownerID is a ReplicaSet or a Job in its namespace.
type ownerID struct {
	kind text
	name string
}

type controller struct{ kind, name text }

func newOwners(most int) *owners { return &owners{most: most, by: map[text]map[ownerID]controller{}} }

func (o *owners) clone() *owners {
	c := *o
	c.by = make(map[text]map[ownerID]controller, len(o.by))
	for namespace, all := range o.by {
		c.by[namespace] = maps.Clone(all)
	}
	return &c
}

// set notes the controller of id; the zero value is none. Of more than there is room
// for, one of the namespace that has the most is left out.
func (o *owners) set(namespace text, id ownerID, c controller) {
	if c == (controller{}) {
		o.remove(namespace, id)
		return
	}
	all := o.by[namespace]
	if all == nil {
		all = map[ownerID]controller{}
		o.by[namespace] = all
	}
	if _, known := all[id]; !known {
		o.count++
	}
	all[id] = c
	if o.count > o.most {
		o.full = true
		o.leaveOut(namespace, id)
	}
}

// leaveOut drops one of the namespace that has the most: newest, where that is its own.
func (o *owners) leaveOut(namespace text, newest ownerID) {
	most := namespace
	for n, all := range o.by {
		if len(all) > len(o.by[most]) {
			most = n
		}
	}
	victim := newest
	if most != namespace {
		for victim = range o.by[most] {
			break
		}
	}
	o.remove(most, victim)
}

func (o *owners) remove(namespace text, id ownerID) {
	all := o.by[namespace]
	if _, known := all[id]; !known {
		return
	}
	delete(all, id)
	o.count--
	if len(all) == 0 {
		delete(o.by, namespace)
	}
}

// removeKind forgets all of a kind.
func (o *owners) removeKind(kind text) {
	for namespace, all := range o.by {
		for id := range all {
			if id.kind == kind {
				o.remove(namespace, id)
			}
		}
	}
}

// top is the workload of w, deployment the one that a name tells, or empty.
func (o *owners) top(w Workload, deployment string) Workload {
	if w.Kind != kindReplicaSet && w.Kind != kindJob {
		return w
	}
	if c, ok := o.by[intern(w.Namespace)][ownerID{intern(w.Kind), w.Name}]; ok {
		return Workload{w.Namespace, c.kind.String(), c.name.String()}
	}
	if deployment != "" && w.Kind == kindReplicaSet {
		return Workload{w.Namespace, "Deployment", deployment}
	}
	return w
}

// deploymentOf is what the name of a ReplicaSet tells of its Deployment, which
// appends the hash of the Pod template: empty when it is named otherwise.
func deploymentOf(replicaSet, hash string) string {
	name, ok := strings.CutSuffix(replicaSet, "-"+hash)
	if !ok || hash == "" {
		return ""
	}
	return name
}
