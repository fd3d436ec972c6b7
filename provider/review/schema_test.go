package review

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/templates"
)

// definition is what the schema of input says of one part of it.
type definition struct {
	Ref         string                `json:"$ref"`
	Type        string                `json:"type"`
	Enum        []string              `json:"enum"`
	Additional  *bool                 `json:"additionalProperties"`
	Properties  map[string]definition `json:"properties"`
	Items       *definition           `json:"items"`
	Definitions map[string]definition `json:"definitions"`
}

func inputSchema(t *testing.T) definition {
	t.Helper()
	var schema definition
	if err := json.Unmarshal(templates.InputSchema, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestTheSchemaOfInputIsWhatRulesGet: a field that the schema lacks would have right
// rules refused, one that it has alone would let wrong ones through.
func TestTheSchemaOfInputIsWhatRulesGet(t *testing.T) {
	schema := inputSchema(t)
	input := slices.Sorted(maps.Keys(schema.Properties))
	want := []string{"Policies"} // which --explain leaves out: every Constraint brings its own
	for field := range reflect.TypeFor[denyImageInput]().Fields() {
		want = append(want, field.Name)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, input); diff != "" {
		t.Errorf("input: %s", diff)
	}
	holds(t, schema, "ScanReport", schema.Definitions["ScanReport"], reflect.TypeFor[report.ScanReport]())
	request := schema.Definitions["AdmissionRequest"]
	if _, ok := request.Properties["namespaceObject"]; !ok {
		t.Error("AdmissionRequest lacks the Namespace that Gatekeeper adds")
	}
	delete(request.Properties, "namespaceObject")
	holds(t, schema, "AdmissionRequest", request, reflect.TypeFor[admissionv1.AdmissionRequest]())
}

// holds compares a definition with the Go type that becomes the JSON.
func holds(t *testing.T, schema definition, at string, d definition, typ reflect.Type) {
	t.Helper()
	if d.Ref != "" {
		d = schema.Definitions[strings.TrimPrefix(d.Ref, "#/definitions/")]
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	wanted := ""
	switch {
	case typ == reflect.TypeFor[json.RawMessage](), typ == reflect.TypeFor[runtime.RawExtension]():
		return // whatever a scanner or Kubernetes says
	case typ == reflect.TypeFor[time.Time]():
		wanted = "string"
	case typ == reflect.TypeFor[report.Counts]():
		if diff := cmp.Diff(words(report.Severities()), slices.Sorted(maps.Keys(d.Properties))); diff != "" {
			t.Errorf("%s: %s", at, diff)
		}
		wanted = "object"
	case typ == reflect.TypeFor[report.Severity]():
		sameWords(t, at, words(report.Severities()), d.Enum)
		wanted = "string"
	case typ == reflect.TypeFor[report.Status]():
		sameWords(t, at, words(report.Statuses()), d.Enum)
		wanted = "string"
	case typ.Kind() == reflect.Struct:
		wanted = "object"
		if d.Additional == nil || *d.Additional {
			t.Errorf("%s is open", at)
		}
		var fields []string
		for field := range typ.Fields() {
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if tag == "" {
				tag = field.Name
			}
			fields = append(fields, tag)
			if part, ok := d.Properties[tag]; ok {
				holds(t, schema, at+"."+tag, part, field.Type)
			}
		}
		slices.Sort(fields)
		if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(d.Properties))); diff != "" {
			t.Errorf("%s: %s", at, diff)
		}
	case typ.Kind() == reflect.Slice:
		wanted = "array"
		if d.Items == nil {
			t.Errorf("%s says nothing of its elements", at)
			break
		}
		holds(t, schema, at+"[]", *d.Items, typ.Elem())
	case typ.Kind() == reflect.Map:
		wanted = "object"
	case typ.Kind() == reflect.String:
		wanted = "string"
	case typ.Kind() == reflect.Bool:
		wanted = "boolean"
	case typ.Kind() == reflect.Int:
		wanted = "integer"
	case typ.Kind() == reflect.Float64:
		wanted = "number"
	default:
		t.Errorf("%s: nobody knows what becomes of %s", at, typ)
	}
	if d.Type != wanted {
		t.Errorf("%s is %q in the schema, %q in Go", at, d.Type, wanted)
	}
}

func words[T interface{ ~string | report.Severity }](values []T) []string {
	out := make([]string, 0, len(values))
	for _, value := range values {
		raw, _ := json.Marshal(value)
		out = append(out, strings.Trim(string(raw), `"`))
	}
	slices.Sort(out)
	return out
}

func sameWords(t *testing.T, at string, want, got []string) {
	t.Helper()
	got = slices.Clone(got)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", at, diff)
	}
}

// TestTheSchemaOfPoliciesIsTheParameters: Policies is one of three sections.
func TestTheSchemaOfPoliciesIsTheParameters(t *testing.T) {
	text, err := templates.Generated("imagescanpolicy")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Spec struct {
			CRD struct {
				Spec struct {
					Validation struct {
						OpenAPIV3Schema struct {
							Properties map[string]struct {
								Properties map[string]struct {
									Type string   `json:"type"`
									Enum []string `json:"enum"`
								} `json:"properties"`
							} `json:"properties"`
						} `json:"openAPIV3Schema"`
					} `json:"validation"`
				} `json:"spec"`
			} `json:"crd"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	enums := map[string][]string{}
	for _, section := range []string{"scanRules", "preScanPolicies", "scanPolicies"} {
		for name, property := range template.Spec.CRD.Spec.Validation.OpenAPIV3Schema.Properties[section].Properties {
			want[name] = property.Type
			enums[name] = append(enums[name], property.Enum...)
		}
	}
	got := inputSchema(t).Definitions["Policies"].Properties
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	for name, typ := range want {
		if got[name].Type != typ {
			t.Errorf("%s is %q in the schema, %q in the template", name, got[name].Type, typ)
		}
		slices.Sort(enums[name])
		sameWords(t, name, slices.Compact(enums[name]), got[name].Enum)
	}
}
