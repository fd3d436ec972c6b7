package review

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Cluster is what Gatekeeper knows besides the object under review. The zero
// value knows nothing.
type Cluster struct {
	namespaces map[string]*corev1.Namespace
	inventory  []document
}

// LoadCluster reads Namespaces from namespaceFiles and, from inventoryFiles,
// files or directories, the objects of data.inventory; Namespaces among those
// are known as well.
func LoadCluster(namespaceFiles, inventoryFiles []string) (Cluster, error) {
	var c Cluster
	for _, path := range namespaceFiles {
		docs, err := readFile(path, nil)
		if err != nil {
			return c, err
		}
		for _, d := range docs {
			if !isNamespace(d.object) {
				return c, fmt.Errorf("%s: %s is not a Namespace", path, d.label())
			}
			if err := c.addNamespace(d); err != nil {
				return c, err
			}
		}
	}
	for _, path := range inventoryFiles {
		docs, err := readTree(path)
		if err != nil {
			return c, err
		}
		for _, d := range docs {
			if err := c.addInventory(d); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

func (c *Cluster) addNamespace(d document) error {
	ns := &corev1.Namespace{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.object.Object, ns); err != nil {
		return fmt.Errorf("%s: reading %s: %w", d.source, d.label(), err)
	}
	if ns.Name == "" {
		return fmt.Errorf("%s: a Namespace has no metadata.name", d.source)
	}
	if c.namespaces == nil {
		c.namespaces = map[string]*corev1.Namespace{}
	}
	c.namespaces[ns.Name] = withNameLabel(ns)
	return nil
}

func (c *Cluster) addInventory(d document) error {
	c.inventory = append(c.inventory, d)
	if isNamespace(d.object) {
		return c.addNamespace(d)
	}
	return nil
}

func isNamespace(u *unstructured.Unstructured) bool {
	return u.GetKind() == "Namespace" && u.GetAPIVersion() == "v1"
}

// namespace returns the Namespace of that name. One that is not given has, as
// every Namespace, its name for a label; when a constraint selects by other
// labels, that is not enough to judge by and an error.
func (c Cluster) namespace(name string, p Policies) (*corev1.Namespace, error) {
	if name == "" {
		return nil, nil
	}
	if ns, ok := c.namespaces[name]; ok {
		return ns, nil
	}
	for _, constraint := range p.constraints {
		if selectsByLabel(constraint.object) {
			return nil, fmt.Errorf("%s selects namespaces by their labels: give Namespace %q with --namespace-object", constraint.label(), name)
		}
	}
	return withNameLabel(&corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
	}), nil
}

// withNameLabel adds the label that the API server puts on every Namespace.
func withNameLabel(ns *corev1.Namespace) *corev1.Namespace {
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name
	return ns
}

func selectsByLabel(constraint *unstructured.Unstructured) bool {
	selector, found, err := unstructured.NestedMap(constraint.Object, "spec", "match", "namespaceSelector")
	if err != nil || !found {
		return false
	}
	var keys []string
	labels, _, _ := unstructured.NestedMap(selector, "matchLabels")
	for key := range labels {
		keys = append(keys, key)
	}
	expressions, _, _ := unstructured.NestedSlice(selector, "matchExpressions")
	for _, expression := range expressions {
		if m, ok := expression.(map[string]any); ok {
			key, _, _ := unstructured.NestedString(m, "key")
			keys = append(keys, key)
		}
	}
	return slices.ContainsFunc(keys, func(key string) bool { return key != corev1.LabelMetadataName })
}
