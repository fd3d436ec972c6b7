package install

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

type settledKey struct {
	resource schema.GroupVersionResource
	name     string
}

// settledAs is an object as it was left, and what it was to be.
type settledAs struct {
	uid        types.UID
	generation int64
	wanted     string
}

// ensure has the object be as u says, with our label and owner, and returns it; nil
// where its kind does not exist. An object that is so already is not written.
//
// What others own of it would outlast an apply, and a selector that somebody adds to
// a Constraint would empty it. So the spec is replaced where it still differs. Where
// the API server puts its own defaults back, that is how it is left.
func (r *round) ensure(ctx context.Context, resource schema.GroupVersionResource, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	name := fmt.Sprintf("%s %s", u.GetKind(), u.GetName())
	u, wanted, err := r.normal(u)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	live, err := r.objects.get(ctx, resource, u.GetName())
	if err != nil {
		return nil, refused("reading "+name, err)
	}
	key := settledKey{resource, u.GetName()}
	if live != nil && ours(live, u, r.owners) {
		as := settledAs{live.GetUID(), live.GetGeneration(), wanted}
		if r.settled[key] == as || reflect.DeepEqual(live.Object["spec"], u.Object["spec"]) {
			r.settled[key] = as
			return live, nil
		}
	}
	live, err = r.objects.apply(ctx, resource, u)
	if absent(err) {
		return nil, nil
	}
	r.metrics.wrote("apply", err)
	if err != nil {
		return nil, refused("writing "+name, err)
	}
	if !reflect.DeepEqual(live.Object["spec"], u.Object["spec"]) && r.settled[key] != (settledAs{live.GetUID(), live.GetGeneration(), wanted}) {
		whole := live.DeepCopy()
		whole.Object["spec"] = u.Object["spec"]
		live, err = r.objects.replace(ctx, resource, whole)
		r.metrics.wrote("replace", err)
		if err != nil {
			return nil, refused("writing "+name, err)
		}
	}
	r.settled[key] = settledAs{live.GetUID(), live.GetGeneration(), wanted}
	return live, nil
}

// normal returns u with label and owner, in the types of what the API server
// answers, and as a text.
func (r *round) normal(u *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	u = u.DeepCopy()
	labels := maps.Clone(u.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, r.o.labels())
	u.SetLabels(labels)
	u.SetOwnerReferences(r.owners)
	text, err := json.Marshal(u)
	if err != nil {
		return nil, "", err
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(text); err != nil {
		return nil, "", err
	}
	return out, string(text), nil
}

// ours reports whether the metadata of live has all that u's has.
func ours(live, u *unstructured.Unstructured, owners []metav1.OwnerReference) bool {
	return covers(live.GetLabels(), u.GetLabels()) && covers(live.GetAnnotations(), u.GetAnnotations()) && owned(live.GetOwnerReferences(), owners)
}

func covers(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}
