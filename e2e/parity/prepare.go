package parity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/system"
)

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
	if err := g.applyTemplates(ctx, templates); err != nil {
		return err
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

func (g *Gatekeeper) applyTemplates(ctx context.Context, manifests []string) error {
	var names []string
	for _, m := range manifests {
		var template unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(m), &template.Object); err != nil {
			return fmt.Errorf("read a template: %w", err)
		}
		names = append(names, template.GetName())
		g.applied = append(g.applied, applied{resource: cluster.Templates, name: template.GetName()})
	}
	if err := g.Cluster.Apply(ctx, strings.Join(manifests, "\n---\n")); err != nil {
		return fmt.Errorf("apply the templates: %w", err)
	}
	for _, name := range names {
		if err := g.Cluster.WaitTaken(ctx, cluster.Templates, name); err != nil {
			return err
		}
	}
	return nil
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
