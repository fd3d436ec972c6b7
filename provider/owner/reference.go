package owner

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Kind is a kind of controller that makes Pods.
type Kind string

// The kinds that are known, of which each has one API version.
const (
	ReplicaSet            Kind = "ReplicaSet"
	StatefulSet           Kind = "StatefulSet"
	DaemonSet             Kind = "DaemonSet"
	Job                   Kind = "Job"
	ReplicationController Kind = "ReplicationController"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{ReplicaSet, StatefulSet, DaemonSet, Job, ReplicationController}
}

// Resource is what the API server calls the objects of a kind. It is empty for
// a kind that is not known.
func (k Kind) Resource() schema.GroupVersionResource {
	switch k {
	case ReplicaSet:
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	case StatefulSet:
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	case DaemonSet:
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	case Job:
		return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	case ReplicationController:
		return schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}
	default:
		return schema.GroupVersionResource{}
	}
}

// Reference is one controller in the namespace of the Pod that it made. The zero
// value is none.
type Reference struct {
	Kind Kind
	// Name is that of an object: a DNS subdomain, at most 253 bytes.
	Name string
	// UID has 1 to 64 letters, digits and hyphens.
	UID string
}

// uidForm is wider than the API server's UUIDs, and has nothing in it that means
// something elsewhere.
var uidForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// New returns the owner that an ownerReference of a Pod names. The error says
// which part of it cannot be right, or that its kind is not one of Kinds.
func New(apiVersion, kind, name, uid string) (Reference, error) {
	k := Kind(kind)
	if gvr := k.Resource(); gvr.Empty() || gvr.GroupVersion().String() != apiVersion {
		return Reference{}, fmt.Errorf("owner kind %q of %q must be one of %s", kind, apiVersion, known())
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return Reference{}, fmt.Errorf("owner name %q: %s", name, problems[0])
	}
	if !uidForm.MatchString(uid) {
		return Reference{}, fmt.Errorf("owner uid %q is not 1 to 64 letters, digits and hyphens", uid)
	}
	return Reference{Kind: k, Name: name, UID: uid}, nil
}

func known() string {
	var all []string
	for _, k := range Kinds() {
		all = append(all, k.Resource().GroupVersion().String()+"/"+string(k))
	}
	return strings.Join(all, ", ")
}

// Parse reads what String writes: apps/v1/ReplicaSet/name/uid, or
// v1/ReplicationController/name/uid. The error is a sentence for who sent it.
func Parse(s string) (Reference, error) {
	parts := strings.Split(s, "/")
	n := len(parts)
	if n != 4 && n != 5 {
		return Reference{}, fmt.Errorf("owner %q is not apiVersion/kind/name/uid", s)
	}
	return New(strings.Join(parts[:n-3], "/"), parts[n-3], parts[n-2], parts[n-1])
}

// String returns the one form of r, empty for none.
func (r Reference) String() string {
	if r == (Reference{}) {
		return ""
	}
	return r.Kind.Resource().GroupVersion().String() + "/" + string(r.Kind) + "/" + r.Name + "/" + r.UID
}
