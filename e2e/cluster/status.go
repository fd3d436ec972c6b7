package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
)

// gatekeeperPods that must have taken a policy object up: audit and webhooks.
const gatekeeperPods = 2

// refusalPatience is how long a refusal must stand. Gatekeeper's processes get in
// each other's way when both create a template's CRD, and the loser reports an
// error until it tries again.
const refusalPatience = 5 * time.Second

// Resources of Gatekeeper that WaitTaken knows.
var (
	Templates = schema.GroupVersionResource{Group: "templates.gatekeeper.sh", Version: "v1", Resource: "constrainttemplates"}
	Providers = schema.GroupVersionResource{Group: "externaldata.gatekeeper.sh", Version: "v1beta1", Resource: "providers"}
	Assigns   = schema.GroupVersionResource{Group: "mutations.gatekeeper.sh", Version: "v1", Resource: "assign"}
	Expanders = schema.GroupVersionResource{Group: "expansion.gatekeeper.sh", Version: "v1beta1", Resource: "expansiontemplate"}
)

// ConstraintsOf is the resource of the constraints of that kind.
func ConstraintsOf(kind string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "constraints.gatekeeper.sh", Version: "v1beta1", Resource: strings.ToLower(kind)}
}

// WaitTaken waits until every Gatekeeper process has taken up the present
// generation of an object, and fails with Gatekeeper's own words when one
// refuses it, for example because its Rego does not compile.
func (c *Cluster) WaitTaken(ctx context.Context, resource schema.GroupVersionResource, name string) error {
	var last error
	var refusedSince time.Time
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		obj, err := c.Dynamic.Resource(resource).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			last = err
			return false, nil //nolint:nilerr // the resource may still be on its way
		}
		last = taken(obj)
		var refused refusedError
		switch {
		case !errors.As(last, &refused):
			refusedSince = time.Time{}
		case refusedSince.IsZero():
			refusedSince = time.Now()
		case time.Since(refusedSince) > refusalPatience:
			return false, last
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for Gatekeeper to take %s %s: %w", resource.Resource, name, errors.Join(err, last))
	}
	return nil
}

// refusedError is what Gatekeeper says about an object it cannot use.
type refusedError struct{ errs any }

func (e refusedError) Error() string { return fmt.Sprintf("refused: %v", e.errs) }

// taken returns nil when each Gatekeeper Pod reports the object's generation
// without errors.
func taken(obj *unstructured.Unstructured) error {
	pods, _, err := unstructured.NestedSlice(obj.Object, "status", "byPod")
	if err != nil {
		return fmt.Errorf("read status.byPod: %w", err)
	}
	current := 0
	for _, p := range pods {
		pod, ok := p.(map[string]any)
		if !ok {
			continue
		}
		if seen, _, _ := unstructured.NestedInt64(pod, "observedGeneration"); seen != obj.GetGeneration() {
			continue
		}
		if errs, ok := pod["errors"].([]any); ok && len(errs) > 0 {
			return refusedError{errs}
		}
		// Constraints say enforced and Providers active; templates neither.
		for _, flag := range []string{"enforced", "active"} {
			if value, found, _ := unstructured.NestedBool(pod, flag); found && !value {
				return fmt.Errorf("not yet %s in %v", flag, pod["id"])
			}
		}
		current++
	}
	if current < gatekeeperPods {
		return fmt.Errorf("taken up by %d of %d processes", current, gatekeeperPods)
	}
	return nil
}
