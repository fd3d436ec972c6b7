package templates

import (
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// keepBlanks has the API server keep what a Constraint's author left blank. It
// would drop a null without a word, and something more lenient might hold in its
// place: the policies refuse it instead. Of what is required the schema itself
// says that it is missing.
func keepBlanks(spec map[string]any) error {
	schema, found, err := unstructured.NestedFieldNoCopy(spec, "crd", "spec", "validation", "openAPIV3Schema")
	if err != nil || !found {
		return errors.Join(errors.New("reading the template: no schema of the parameters"), err)
	}
	nullableBelow(schema)
	return nil
}

func nullableBelow(schema any) {
	s, _ := schema.(map[string]any)
	required, _ := s["required"].([]any)
	properties, _ := s["properties"].(map[string]any)
	for name, property := range properties {
		if p, ok := property.(map[string]any); ok && !slices.Contains(required, any(name)) {
			p["nullable"] = true
		}
		nullableBelow(property)
	}
	if values, ok := s["additionalProperties"].(map[string]any); ok {
		values["nullable"] = true
		nullableBelow(values)
	}
	if items, ok := s["items"]; ok {
		nullableBelow(items)
	}
}
