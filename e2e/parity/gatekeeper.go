package parity

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/imagegate/imagegate/e2e/cluster"
)

// Gatekeeper judges cases by the webhook of a cluster's Gatekeeper: requests
// are sent to the API server as dry runs.
type Gatekeeper struct {
	Cluster *cluster.Cluster
	StandIn *StandIn
	// Log is the log file of the process that serves the webhook, the only
	// place where Gatekeeper says what a dryrun constraint found.
	Log string

	refused map[string]string // by case
	applied []applied         // for Clean, in order
}

// applied is an object to remove.
type applied struct {
	resource schema.GroupVersionResource
	name     string
}

// Judge sends the case's request and reads its verdict off the answer.
func (g *Gatekeeper) Judge(ctx context.Context, c Case) (Verdict, error) {
	if text := g.refused[c.Name]; text != "" {
		return Verdict{Refused: text}, nil
	}
	warnings := &warnings{}
	config := rest.CopyConfig(g.Cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: c.As, Groups: c.Groups}
	config.WarningHandler = warnings
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return Verdict{}, err
	}
	logged, err := logEnd(g.Log)
	if err != nil {
		return Verdict{}, err
	}
	g.StandIn.Asked(c)
	err = send(ctx, client, c)
	v := Verdict{keys: g.StandIn.Asked(c)}
	for _, key := range v.keys {
		image, _, _ := strings.Cut(key, "?")
		v.Scanned = append(v.Scanned, image)
	}
	if v.Violations, err = denials(err); err != nil {
		return v, err
	}
	v.Violations = append(v.Violations, warnings.violations()...)
	dryrun, err := dryruns(g.Log, logged, c.Namespace)
	if err != nil {
		return v, err
	}
	v.Violations = append(v.Violations, dryrun...)
	v.sort()
	return v, nil
}

func send(ctx context.Context, client dynamic.Interface, c Case) error {
	obj := withIntegers(&unstructured.Unstructured{Object: c.object()})
	gvr, err := resource(obj)
	if err != nil {
		return err
	}
	resource := client.Resource(gvr).Namespace(c.Namespace)
	if c.Old == nil {
		_, err := resource.Create(ctx, obj, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	patch, err := obj.MarshalJSON()
	if err != nil {
		return err
	}
	var sub []string
	if c.SubResource != "" {
		sub = []string{c.SubResource}
	}
	_, err = resource.Patch(ctx, obj.GetName(), types.StrategicMergePatchType, patch,
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, sub...)
	return err
}

// resource guesses the resource of a built-in kind.
func resource(obj *unstructured.Unstructured) (schema.GroupVersionResource, error) {
	gvk := obj.GroupVersionKind()
	if gvk.Kind == "" || obj.GetName() == "" {
		return schema.GroupVersionResource{}, fmt.Errorf("the object has no kind or no name")
	}
	return gvk.GroupVersion().WithResource(strings.ToLower(gvk.Kind) + "s"), nil
}

// withIntegers returns a copy with whole numbers as integers: that is how the
// API machinery copies objects.
func withIntegers(obj *unstructured.Unstructured) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: runtime.DeepCopyJSON(integers(obj.Object).(map[string]any))}
}

func integers(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = integers(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = integers(v[k])
		}
		return out
	}
	return v
}
