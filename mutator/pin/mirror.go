package pin

import "slices"

// mirrorAnnotation marks the object that a kubelet makes of a static Pod.
const mirrorAnnotation = "kubernetes.io/config.mirror"

// The names that the API server gives to nodes.
const (
	nodesGroup     = "system:nodes"
	nodeUserPrefix = "system:node:"
)

// MirrorOf reports whether p is the mirror of a static Pod and user, of groups,
// the node that it runs on. That node's kubelet runs its own manifest whatever
// becomes of the object, which it could not recognise if its images changed.
// Templates know mirror Pods by the same rule (templates/lib/pod.rego); from
// anybody else the annotation means nothing.
func (p *Pod) MirrorOf(user string, groups []string) bool {
	return p.mirror && p.node != "" && user == nodeUserPrefix+p.node && slices.Contains(groups, nodesGroup)
}
