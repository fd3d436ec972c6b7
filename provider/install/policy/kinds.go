package policy

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is a kind of object that is installed with policies. All are cluster-scoped.
type Kind struct {
	schema.GroupVersionKind
	// Resource is its name in URLs.
	Resource string
}

// GVR returns the resource with its group and version.
func (k Kind) GVR() schema.GroupVersionResource { return k.GroupVersion().WithResource(k.Resource) }

// Template is the kind of ConstraintTemplates.
var Template = Kind{schema.GroupVersionKind{Group: "templates.gatekeeper.sh", Version: "v1", Kind: "ConstraintTemplate"}, "constrainttemplates"}

const constraintGroup = "constraints.gatekeeper.sh"

// Constraint is a kind of Constraints.
func Constraint(kind string) Kind {
	return Kind{schema.GroupVersionKind{Group: constraintGroup, Version: "v1beta1", Kind: kind}, strings.ToLower(kind)}
}

// IsConstraint reports whether the kind is one of Constraints.
func (k Kind) IsConstraint() bool { return k.Group == constraintGroup }

// Kinds are all of them, in the order in which they are applied: the provider's
// rights (rbac.yaml) are for exactly these.
func Kinds() []Kind {
	gatekeeper := func(group, version, kind, resource string) Kind {
		return Kind{schema.GroupVersionKind{Group: group + ".gatekeeper.sh", Version: version, Kind: kind}, resource}
	}
	return []Kind{
		Template,
		gatekeeper("expansion", "v1beta1", "ExpansionTemplate", "expansiontemplate"),
		gatekeeper("mutations", "v1", "Assign", "assign"),
		gatekeeper("mutations", "v1", "AssignMetadata", "assignmetadata"),
		gatekeeper("mutations", "v1", "ModifySet", "modifyset"),
		Constraint(GeneratedKind),
		Constraint(OwnKind),
		Constraint("ImageVulnerabilities"),
		Constraint("ImageDigestRequired"),
		Constraint("ImageRegistryAllowed"),
	}
}

// KindOf returns the kind of an object.
func KindOf(apiVersion, kind string) (Kind, bool) {
	gvk := schema.FromAPIVersionAndKind(apiVersion, kind)
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.GroupVersionKind == gvk })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// Known reports whether objects of that kind are installed with policies.
func Known(apiVersion, kind string) bool {
	_, ok := KindOf(apiVersion, kind)
	return ok
}

func kindNames() string {
	kinds := Kinds()
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, k.Kind)
	}
	return strings.Join(names, ", ")
}
