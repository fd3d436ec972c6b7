package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Objects are the manifests, in the order of their templates' names. A key that is
// there twice is an error.
func (r *Rendered) Objects() ([]*unstructured.Unstructured, error) {
	var list []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		for _, text := range Documents(r.Files[name]) {
			u := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict([]byte(text), &u.Object); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, text)
			}
			if len(u.Object) > 0 {
				list = append(list, u)
			}
		}
	}
	return list, nil
}

// Documents are the YAML documents of a text, without empty ones.
func Documents(text string) []string {
	var list []string
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		if strings.TrimSpace(doc) != "" {
			list = append(list, doc)
		}
	}
	return list
}
