// Package bypod reads what each of Gatekeeper's Pods says of an object of its kinds:
// status.byPod, of ConstraintTemplates, Constraints and Providers alike.
package bypod

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Said is what one Pod says.
type Said struct {
	// Pod is its name.
	Pod string
	// Current says that it speaks of the object's present generation.
	Current bool
	// Off says that it does not enforce or use the object.
	Off bool
	// Problems are its errors in one line; empty: none.
	Problems string
}

// Read returns what is said, nothing where no Pod has said anything yet.
func Read(u *unstructured.Unstructured) []Said {
	byPod, _, _ := unstructured.NestedSlice(u.Object, "status", "byPod")
	list := make([]Said, 0, len(byPod))
	for _, b := range byPod {
		m, _ := b.(map[string]any)
		var s Said
		s.Pod, _, _ = unstructured.NestedString(m, "id")
		seen, _, _ := unstructured.NestedInt64(m, "observedGeneration")
		s.Current = seen == u.GetGeneration()
		// Constraints say enforced and Providers active; templates neither.
		for _, flag := range []string{"enforced", "active"} {
			if on, found, _ := unstructured.NestedBool(m, flag); found && !on {
				s.Off = true
			}
		}
		failures, _, _ := unstructured.NestedSlice(m, "errors")
		var says []string
		for _, f := range failures {
			e, _ := f.(map[string]any)
			if message, _, _ := unstructured.NestedString(e, "message"); message != "" {
				says = append(says, message)
			}
		}
		s.Problems = strings.Join(says, "; ")
		list = append(list, s)
	}
	return list
}
