package parity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/system"
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

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// Prepare brings the cluster to where each case can be tried: namespaces, what
// is to be updated, templates and constraints. It returns when Gatekeeper has
// taken everything up.
func (g *Gatekeeper) Prepare(ctx context.Context, cases []Case, templates []string) error {
	g.refused = map[string]string{}
	if err := g.applyProvider(ctx); err != nil {
		return err
	}
	if err := g.applyAuthors(ctx); err != nil {
		return err
	}
	for _, manifest := range templates {
		if err := g.Cluster.Apply(ctx, manifest); err != nil {
			return fmt.Errorf("apply a template: %w", err)
		}
		name, _, _ := strings.Cut(strings.TrimSpace(afterFirst(manifest, "\n  name: ")), "\n")
		g.applied = append(g.applied, applied{resource: cluster.Templates, name: name})
		if err := g.Cluster.WaitTaken(ctx, cluster.Templates, name); err != nil {
			return err
		}
	}
	for _, c := range cases {
		if err := g.prepare(ctx, c); err != nil {
			return fmt.Errorf("prepare case %s: %w", c.Name, err)
		}
	}
	for _, c := range cases {
		if g.refused[c.Name] != "" {
			continue
		}
		for _, k := range c.constraints() {
			obj := unstructured.Unstructured{Object: k}
			if err := g.Cluster.WaitTaken(ctx, cluster.ConstraintsOf(obj.GetKind()), obj.GetName()); err != nil {
				return fmt.Errorf("prepare case %s: %w", c.Name, err)
			}
		}
	}
	return nil
}

func afterFirst(s, sep string) string {
	_, after, _ := strings.Cut(s, sep)
	return after
}

func (g *Gatekeeper) applyProvider(ctx context.Context) error {
	if err := g.Cluster.Apply(ctx, fmt.Sprintf(`
apiVersion: externaldata.gatekeeper.sh/v1beta1
kind: Provider
metadata: {name: %s}
spec: {url: %s/scan-reports, timeout: 2, caBundle: %s}
`, providerName, g.StandIn.URL, base64.StdEncoding.EncodeToString(g.Cluster.Webhooks.PEM))); err != nil {
		return fmt.Errorf("apply the stand-in's Provider: %w", err)
	}
	g.applied = append(g.applied, applied{resource: cluster.Providers, name: providerName})
	return g.Cluster.WaitTaken(ctx, cluster.Providers, providerName)
}

// applyAuthors lets every user that a case impersonates write Pods.
func (g *Gatekeeper) applyAuthors(ctx context.Context) error {
	if err := g.Cluster.Apply(ctx, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: parity-authors}
rules:
- {apiGroups: [""], resources: [pods, pods/ephemeralcontainers], verbs: [create, patch, get]}
- {apiGroups: [apps, batch], resources: ["*"], verbs: [create, patch, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: parity-authors}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: parity-authors}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated"}]
`); err != nil {
		return fmt.Errorf("let the cases' users write Pods: %w", err)
	}
	for _, kind := range []string{"clusterrolebindings", "clusterroles"} {
		g.applied = append(g.applied, applied{
			resource: schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: kind},
			name:     "parity-authors",
		})
	}
	return nil
}

func (g *Gatekeeper) prepare(ctx context.Context, c Case) error {
	ns := &unstructured.Unstructured{Object: c.namespaceObject()}
	labels := ns.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	// Images are judged as the case has them.
	labels[system.Unpinned] = "true"
	ns.SetLabels(labels)
	if err := g.create(ctx, namespaces, ns); err != nil {
		return err
	}
	if c.Old != nil {
		old := (&unstructured.Unstructured{Object: c.Old}).DeepCopy()
		gvr, err := resource(old)
		if err != nil {
			return err
		}
		if _, err := g.Cluster.Dynamic.Resource(gvr).Namespace(c.Namespace).Create(ctx, old, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create what is to be updated: %w", err)
		}
	}
	for _, k := range c.constraints() {
		obj := &unstructured.Unstructured{Object: k}
		err := g.create(ctx, cluster.ConstraintsOf(obj.GetKind()), obj)
		if err != nil && c.Refused != "" {
			g.refused[c.Name] = err.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// create creates an object as kubectl would, which refuses unknown fields. A
// resource that was just defined may not be served yet.
func (g *Gatekeeper) create(ctx context.Context, gvr schema.GroupVersionResource, obj *unstructured.Unstructured) error {
	for try := 0; ; try++ {
		_, err := g.Cluster.Dynamic.Resource(gvr).Create(ctx, withIntegers(obj), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err == nil {
			g.applied = append(g.applied, applied{resource: gvr, name: obj.GetName()})
			return nil
		}
		if !apierrors.IsNotFound(err) || try == 100 {
			return fmt.Errorf("create %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Expand applies ExpansionTemplates and waits until Gatekeeper uses them.
func (g *Gatekeeper) Expand(ctx context.Context, manifests string) error {
	if err := g.Cluster.Apply(ctx, manifests); err != nil {
		return fmt.Errorf("apply the ExpansionTemplates: %w", err)
	}
	for _, name := range []string{"imagegate-workloads", "imagegate-cronjobs"} {
		g.applied = append(g.applied, applied{resource: cluster.Expanders, name: name})
		if err := g.Cluster.WaitTaken(ctx, cluster.Expanders, name); err != nil {
			return err
		}
	}
	return nil
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
	v := Verdict{Scanned: g.StandIn.Asked(c)}
	denied, err := denials(err)
	if err != nil {
		return v, err
	}
	v.Violations = append(denied, warnings.violations()...)
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

const deniedBy = `admission webhook "validation.gatekeeper.sh" denied the request: `

// denials reads the messages of a denial. Any other error is returned.
func denials(err error) ([]Violation, error) {
	if err == nil {
		return nil, nil
	}
	_, messages, found := strings.Cut(err.Error(), deniedBy)
	if !found {
		return nil, err
	}
	return tagged(messages, "deny"), nil
}

// tagged reads lines of the form [constraint] message. A line without a
// constraint goes on with the message before it.
func tagged(text, action string) []Violation {
	var out []Violation
	for line := range strings.SplitSeq(text, "\n") {
		name, message, found := strings.Cut(strings.TrimPrefix(line, "["), "] ")
		if !found || !strings.HasPrefix(line, "[") {
			if len(out) > 0 {
				out[len(out)-1].Message += "\n" + line
			}
			continue
		}
		out = append(out, Violation{Constraint: name, Action: action, Message: withoutImplied(message)})
	}
	return out
}

// warnings collects the warnings of one request.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) violations() []Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return tagged(strings.Join(w.texts, "\n"), "warn")
}

// Clean removes what Prepare and Expand have applied, the last first. The cases'
// own namespaces stay: the cluster is thrown away, and to end a hundred would
// keep it busy for longer than the cases did. Others may need a namespace whose
// name the case did not make up.
func (g *Gatekeeper) Clean(ctx context.Context) error {
	var errs []error
	for i := len(g.applied) - 1; i >= 0; i-- {
		a := g.applied[i]
		if a.resource == namespaces && strings.HasPrefix(a.name, namespacePrefix) {
			continue
		}
		err := g.Cluster.Dynamic.Resource(a.resource).Delete(ctx, a.name, metav1.DeleteOptions{})
		if err == nil && a.resource == namespaces {
			err = g.waitGone(ctx, a)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete %s %s: %w", a.resource.Resource, a.name, err))
		}
	}
	g.applied = nil
	return errors.Join(errs...)
}

func (g *Gatekeeper) waitGone(ctx context.Context, a applied) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := g.Cluster.Dynamic.Resource(a.resource).Get(ctx, a.name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
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
