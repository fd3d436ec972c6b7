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
	// most bounds the entries.
	most int
	// by has only those that have a controller.
	by map[ownerID]controller
	// full says that there were more.
	full bool
}

// ownerID is a ReplicaSet or a Job.
type ownerID struct {
	namespace, kind text
	name            string
}

type controller struct{ kind, name text }

func newOwners(most int) *owners { return &owners{most: most, by: map[ownerID]controller{}} }

func (o *owners) clone() *owners { return &owners{most: o.most, by: maps.Clone(o.by), full: o.full} }

// set notes the controller of id; the zero value is none.
func (o *owners) set(id ownerID, c controller) {
	if c == (controller{}) {
		delete(o.by, id)
		return
	}
	if _, known := o.by[id]; !known && len(o.by) >= o.most {
		o.full = true
		return
	}
	o.by[id] = c
}

func (o *owners) remove(id ownerID) { delete(o.by, id) }

// top is the workload of w, deployment the one that a name tells, or empty.
func (o *owners) top(w Workload, deployment string) Workload {
	if w.Kind != kindReplicaSet && w.Kind != kindJob {
		return w
	}
	if c, ok := o.by[ownerID{intern(w.Namespace), intern(w.Kind), w.Name}]; ok {
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
