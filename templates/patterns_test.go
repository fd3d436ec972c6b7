package templates_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/pattern/patterntest"
)

// TestRegoHasThePatternsOfTheTable runs the table that Go's readers are held against.
func TestRegoHasThePatternsOfTheTable(t *testing.T) {
	c := patterntest.Read(t, "../provider/pattern/testdata/cases.yaml")
	text, err := os.ReadFile("lib/patterns.rego")
	if err != nil {
		t.Fatal(err)
	}
	query := func(expression string, input any) string {
		t.Helper()
		found, err := rego.New(rego.Query(expression), rego.Module("patterns.rego", string(text)), rego.Input(input),
			rego.SetRegoVersion(ast.RegoV1), rego.StrictBuiltinErrors(true)).Eval(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(found[0].Expressions[0].Value)
	}
	for name, cases := range map[string]map[string]string{"prefix": c.Prefix, "images": c.Images, "namespace": c.Namespace, "identifier": c.Identifier, "package": c.Package} {
		values := make([]string, 0, len(cases))
		for value := range cases {
			values = append(values, value)
		}
		said := query(fmt.Sprintf("concat(`|`, sort([sprintf(`%%s: %%s`, [v, why]) | some v in input; why := data.lib.patterns.of_%s(v)]))", name), values)
		for value, want := range cases {
			if has := strings.Contains("|"+said+"|", "|"+value+": "); has != (want != "") || has && !strings.Contains("|"+said+"|", "|"+value+": "+want+"|") {
				t.Errorf("%s %q: want %q of\n%s", name, value, want, said)
			}
		}
	}
	for _, tc := range c.Closest {
		said := map[string]any{}
		for _, key := range tc.Keys {
			said[key] = 1
		}
		if got := query("[k | k := data.lib.patterns.closest(input, `dev-1`)]", said); got != "["+tc.Is+"]" {
			t.Errorf("%v: %s, want %q", tc.Keys, got, tc.Is)
		}
	}
}

// TestSchemasRefuseNoMoreThanTheRules: what kubectl apply refuses is a mistake, and
// what is right passes it.
func TestSchemasRefuseNoMoreThanTheRules(t *testing.T) {
	c := patterntest.Read(t, "../provider/pattern/testdata/cases.yaml")
	for _, tc := range []struct {
		template string
		path     []string
		cases    map[string]string
	}{
		{"imagescanpolicy", []string{"scanRules", "alwaysReject", ""}, c.Prefix},
		{"imagescanpolicy", []string{"scanRules", "byNamespace", "*", "alwaysAccept", ""}, c.Prefix},
		{"imagescanpolicy", []string{"preScanPolicies", "customPolicies", "", "prefix"}, c.Prefix},
		{"imagescanpolicy", []string{"scanPolicies", "byNamespace", "*", "customPolicies", "", "prefix"}, c.Prefix},
		{"imagedigestrequired", []string{"exemptImages", ""}, c.Prefix},
		{"imagevulnerabilities", []string{"exceptions", "", "images", ""}, c.Images},
		{"imagevulnerabilities", []string{"exceptions", "", "namespaces", ""}, c.Namespace},
		{"imagevulnerabilities", []string{"exceptions", "", "cve"}, c.Identifier},
		{"imagevulnerabilities", []string{"exceptions", "", "packages", ""}, c.Package},
	} {
		at := schemaOf(t, tc.template)
		for _, name := range tc.path {
			switch name {
			case "":
				at = at.Items.Schema
			case "*":
				at = at.AdditionalProperties.Schema
			default:
				property, ok := at.Properties[name]
				if !ok {
					t.Fatalf("%s has no %v", tc.template, tc.path)
				}
				at = &property
			}
		}
		patterntest.Hold(t, tc.template+" "+strings.Join(tc.path, "."), at.Pattern, tc.cases)
	}
}

func schemaOf(t *testing.T, policy string) *apiextensionsv1.JSONSchemaProps {
	t.Helper()
	return schemaIn(t, readFile(t, policy+"/template.yaml"))
}

func schemaIn(t *testing.T, made []byte) *apiextensionsv1.JSONSchemaProps {
	t.Helper()
	var template struct {
		Spec struct {
			CRD struct {
				Spec struct {
					Validation struct {
						OpenAPIV3Schema apiextensionsv1.JSONSchemaProps `json:"openAPIV3Schema"`
					} `json:"validation"`
				} `json:"spec"`
			} `json:"crd"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(made, &template); err != nil {
		t.Fatal(err)
	}
	return &template.Spec.CRD.Spec.Validation.OpenAPIV3Schema
}
