package templates_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/templates"
)

// TestAParameterOfOneNameIsOneParameter: what parameters.tmpl names is what it says
// there wherever a policy has it, and what two policies have is named there.
func TestAParameterOfOneNameIsOneParameter(t *testing.T) {
	var file struct {
		Shared map[string]apiextensionsv1.JSONSchemaProps `json:"shared"`
	}
	if err := yaml.UnmarshalStrict(readFile(t, "parameters.tmpl"), &file); err != nil {
		t.Fatal(err)
	}
	policies, err := templates.Policies()
	if err != nil {
		t.Fatal(err)
	}
	had := map[string][]string{}
	used := map[string]bool{}
	for _, policy := range policies {
		schema := schemaOf(t, policy)
		for name := range schema.Properties {
			had[name] = append(had[name], policy)
		}
		everyProperty(schema, func(name string, property apiextensionsv1.JSONSchemaProps) {
			want, ok := file.Shared[name]
			if !ok {
				return
			}
			used[name] = true
			if diff := cmp.Diff(want, asWritten(property)); diff != "" {
				t.Errorf("%s: %s is not that of parameters.tmpl: %s", policy, name, diff)
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		if _, ok := file.Shared[name]; !ok && len(had[name]) > 1 {
			t.Errorf("%v each say for themselves what %s is: write it into parameters.tmpl", had[name], name)
		}
	}
	for name := range file.Shared {
		if !used[name] {
			t.Errorf("no policy has %s of parameters.tmpl", name)
		}
	}
}

// everyProperty calls f with each property below a schema.
func everyProperty(schema *apiextensionsv1.JSONSchemaProps, f func(string, apiextensionsv1.JSONSchemaProps)) {
	for name, property := range schema.Properties {
		f(name, property)
		everyProperty(&property, f)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		everyProperty(schema.Items.Schema, f)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		everyProperty(schema.AdditionalProperties.Schema, f)
	}
}

// asWritten is a property without what keepBlanks adds to all that are not required.
func asWritten(property apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
	property.Nullable = false
	if property.Properties == nil {
		return property
	}
	property.Properties = maps.Clone(property.Properties)
	for name, below := range property.Properties {
		property.Properties[name] = asWritten(below)
	}
	return property
}
