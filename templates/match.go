package templates

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// MatchesPods reports whether the match of a Constraint takes in Pods, which are all
// that the templates here judge. A cluster takes one that names everything else, or
// whose scope is what has no namespace, and it denies nothing.
func MatchesPods(constraint *unstructured.Unstructured) bool {
	if scope, _, err := unstructured.NestedString(constraint.Object, "spec", "match", "scope"); err == nil && scope == "Cluster" {
		return false
	}
	kinds, _, err := unstructured.NestedSlice(constraint.Object, "spec", "match", "kinds")
	return err != nil || len(kinds) == 0 || slices.ContainsFunc(kinds, namesPods)
}

func namesPods(entry any) bool {
	kinds, ok := entry.(map[string]any)
	if !ok {
		return false
	}
	names := func(key, name string) bool {
		list, found, err := unstructured.NestedStringSlice(kinds, key)
		return err == nil && (!found || len(list) == 0 || slices.Contains(list, name) || slices.Contains(list, "*"))
	}
	return names("apiGroups", "") && names("kinds", "Pod")
}
