// Package server applies what the chart renders to a real API server with a real
// Gatekeeper: what it refuses no schema knows of.
package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/charts/render"
	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/cluster"
)

var shared *cluster.Cluster //nolint:gochecknoglobals // started once for all tests

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctx := context.Background()
	root, err := build.Root()
	if err != nil {
		return 1, err
	}
	binaries, err := build.Cluster(ctx, root, os.Stderr)
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "imagegate-chart-")
	if err != nil {
		return 1, err
	}
	if shared, err = cluster.Start(ctx, cluster.Options{Dir: dir, Binaries: binaries, Progress: os.Stderr}); err != nil {
		return 1, err
	}
	defer shared.Stop()
	// Whatever is not restricted is refused.
	for _, ns := range []string{release.Namespace, "security", "shop", "payments"} {
		err := shared.Apply(ctx, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}}", ns))
		if err != nil {
			return 1, err
		}
	}
	if err := shared.Apply(ctx, "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: low}, value: 1}"); err != nil {
		return 1, err
	}
	code := m.Run()
	if err := shared.Dead(); err != nil {
		return 1, err
	}
	return code, os.RemoveAll(dir)
}

var release = render.Release{Name: "gate", Namespace: "imagegate-system"} //nolint:gochecknoglobals // a constant that Go has no form for

// applier applies as Helm 4 does: server-side, never by force, strictly.
type applier struct {
	client   dynamic.Interface
	mapper   *restmapper.DeferredDiscoveryRESTMapper
	warnings *warnings
}

// warnings of the API server are failures.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

func newApplier(t *testing.T) *applier {
	t.Helper()
	w := &warnings{}
	config := rest.CopyConfig(shared.Config)
	config.WarningHandler, config.QPS, config.Burst = w, 200, 400
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &applier{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d)), w}
}

// resource is where objects of a kind are; nil where there is no such kind.
func (a *applier) resource(u *unstructured.Unstructured) dynamic.ResourceInterface {
	gvk := u.GroupVersionKind()
	m, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil
	}
	if u.GetNamespace() == "" {
		return a.client.Resource(m.Resource)
	}
	return a.client.Resource(m.Resource).Namespace(u.GetNamespace())
}

func (a *applier) apply(ctx context.Context, u *unstructured.Unstructured, manager string, dry bool) (*unstructured.Unstructured, error) {
	text, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	o := metav1.PatchOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationStrict}
	if dry {
		o.DryRun = []string{metav1.DryRunAll}
	}
	return a.resource(u).Patch(ctx, u.GetName(), types.ApplyPatchType, text, o)
}

func sets(t *testing.T) map[string]map[string]any {
	t.Helper()
	paths, err := filepath.Glob("../imagegate/ci/*-values.yaml")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d sets of values, %v", len(paths), err)
	}
	all := map[string]map[string]any{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]any{}
		if err := yaml.Unmarshal(text, &values); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), "-values.yaml")] = values
	}
	return all
}

func objects(t *testing.T, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	c, err := render.Load("../imagegate")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Helm4(values, release)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// notHere are kinds of products that this cluster does not have.
func notHere(u *unstructured.Unstructured) bool {
	return slices.Contains([]string{"cert-manager.io", "monitoring.coreos.com", "keda.sh"}, u.GroupVersionKind().Group)
}

func TestServerTakesEverything(t *testing.T) {
	all := sets(t)
	privileged := map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "a"}}}}
	of := &unstructured.Unstructured{}
	of.SetName("any")
	of.SetNamespace(release.Namespace)
	if err := newApplier(t).pod(t.Context(), of, privileged); err == nil || !strings.Contains(err.Error(), "restricted") {
		t.Fatalf("Pod Security is not enforced: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			a := newApplier(t)
			took, left := 0, map[string]int{}
			for _, u := range objects(t, all[name]) {
				id := u.GetKind() + " " + u.GetName()
				if notHere(u) || u.GroupVersionKind().Group == "constraints.gatekeeper.sh" {
					left[u.GetKind()]++
					continue
				}
				if _, err := a.apply(t.Context(), u, "helm", true); err != nil {
					t.Errorf("%s: %v", id, err)
					continue
				}
				took++
				// A workload's Pods are refused only when they are made.
				if template, found, _ := unstructured.NestedMap(u.Object, "spec", "template"); found {
					if err := a.pod(t.Context(), u, template); err != nil && !strings.Contains(err.Error(), "hostNetwork=true") {
						t.Errorf("a Pod of %s: %v", id, err)
					}
				}
			}
			for _, w := range a.warnings.take() {
				if !strings.Contains(w, "hostNetwork") {
					t.Errorf("the API server warns: %s", w)
				}
			}
			if took < 6 {
				t.Errorf("%d objects", took)
			}
			t.Logf("%d objects taken; no such kind here: %v", took, left)
		})
	}
}

// pod makes a Pod of a workload, without keeping it.
func (a *applier) pod(ctx context.Context, of *unstructured.Unstructured, template map[string]any) error {
	p := &unstructured.Unstructured{Object: template}
	p.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	p.SetName(of.GetName() + "-tried")
	p.SetNamespace(of.GetNamespace())
	claims, _, _ := unstructured.NestedSlice(of.Object, "spec", "volumeClaimTemplates")
	if len(claims) > 0 {
		volumes, _, _ := unstructured.NestedSlice(p.Object, "spec", "volumes")
		volumes = append(volumes, map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "data-0"}})
		if err := unstructured.SetNestedSlice(p.Object, volumes, "spec", "volumes"); err != nil {
			return err
		}
	}
	_, err := a.resource(p).Create(ctx, p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// Applied twice nothing changes, and what the provider writes in between is neither in
// the way nor undone.
func TestAppliedAgainNothingChanges(t *testing.T) {
	for _, name := range []string{"default", "cluster", "nats", "gitops"} {
		t.Run(name, func(t *testing.T) {
			a, ctx := newApplier(t), t.Context()
			var list, constraints []*unstructured.Unstructured
			for _, u := range objects(t, sets(t)[name]) {
				switch {
				case notHere(u) || u.GetKind() == "Pod":
				case u.GroupVersionKind().Group == "constraints.gatekeeper.sh":
					constraints = append(constraints, u)
				default:
					list = append(list, u)
				}
			}
			t.Cleanup(func() { a.remove(t, append(slices.Clone(list), constraints...)) })
			a.first(t, list)
			for _, u := range list {
				if u.GetKind() == "ConstraintTemplate" {
					if err := shared.WaitTaken(ctx, schema.GroupVersionResource{Group: "templates.gatekeeper.sh", Version: "v1", Resource: "constrainttemplates"}, u.GetName()); err != nil {
						t.Fatal(err)
					}
				}
			}
			a.mapper.Reset()
			a.first(t, constraints)
			a.asTheProvider(t, list)
			for _, u := range append(slices.Clone(list), constraints...) {
				before, err := a.resource(u).Get(ctx, u.GetName(), metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := a.apply(ctx, u, "helm", false); err != nil {
					t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
					continue
				}
				after, err := a.resource(u).Get(ctx, u.GetName(), metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if b, a := spec(t, before), spec(t, after); b != a {
					t.Errorf("%s %s is another:\n%s\n%s", u.GetKind(), u.GetName(), b, a)
				}
			}
			t.Logf("%d objects applied twice", len(list)+len(constraints))
		})
	}
}

func (a *applier) first(t *testing.T, list []*unstructured.Unstructured) {
	t.Helper()
	for _, u := range list {
		if _, err := a.apply(t.Context(), u, "helm", false); err != nil {
			t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}

// asTheProvider fills in the webhooks' caBundle.
func (a *applier) asTheProvider(t *testing.T, list []*unstructured.Unstructured) {
	t.Helper()
	for _, u := range list {
		if u.GetKind() != "MutatingWebhookConfiguration" {
			continue
		}
		patch := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": map[string]any{"name": u.GetName()},
			"webhooks": []any{map[string]any{"name": "mutation.imagegate.dev", "clientConfig": map[string]any{"caBundle": shared.Webhooks.PEM}}},
		}}
		if _, err := a.apply(t.Context(), patch, "imagegate", false); err != nil {
			t.Fatalf("the provider cannot fill in the caBundle: %v", err)
		}
		got, err := a.resource(u).Get(t.Context(), u.GetName(), metav1.GetOptions{})
		if err != nil || !strings.Contains(spec(t, got), "caBundle") {
			t.Fatalf("there is no caBundle: %v", err)
		}
	}
}

// spec is what matters of an object.
func spec(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	o := u.DeepCopy().Object
	delete(o, "status")
	o["metadata"] = map[string]any{"labels": u.GetLabels(), "generation": u.GetGeneration()}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (a *applier) remove(t *testing.T, list []*unstructured.Unstructured) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	slices.SortStableFunc(list, func(x, _ *unstructured.Unstructured) int {
		if x.GetKind() == "MutatingWebhookConfiguration" {
			return -1
		}
		return 0
	})
	for _, u := range list {
		if err := a.resource(u).Delete(ctx, u.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Logf("remove %s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}
