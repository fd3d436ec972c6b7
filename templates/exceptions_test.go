package templates_test

import (
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/imagegate/imagegate/provider/verdict/exceptiontest"
	"github.com/imagegate/imagegate/templates/regotest"
)

// TestExceptionsMeanWhatTheTableSays runs the table that the provider's file is held
// against too.
func TestExceptionsMeanWhatTheTableSays(t *testing.T) {
	var answer *ast.Term
	options := []func(*rego.Rego){
		rego.SetRegoVersion(ast.RegoV1),
		rego.Query("[v.msg | some v in data.imagevulnerabilities.violation]"),
		rego.Function1(&rego.Function{Name: "table_data", Decl: types.NewFunction(types.Args(types.A), types.A)},
			func(rego.BuiltinContext, *ast.Term) (*ast.Term, error) { return answer, nil }),
	}
	for file, text := range load(t) {
		if !regotest.IsTest(file) && (strings.HasPrefix(file, "lib/") || strings.HasPrefix(file, "imagevulnerabilities/")) {
			// Gatekeeper's engine takes the builtin's name for the whole process.
			options = append(options, rego.Module(file, strings.ReplaceAll(text, "external_data(", "table_data(")))
		}
	}
	query, err := rego.New(options...).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range exceptiontest.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			finding := map[string]any{"ID": c.ID, "Aliases": c.Aliases, "Package": c.Package, "Installed": "1", "Severity": "High"}
			if c.Fixed != "" {
				finding["Fixed"] = c.Fixed
			}
			if !c.FixAvailable.IsZero() {
				finding["FixAvailable"] = c.FixAvailable.Format(time.RFC3339)
			}
			if c.Exploited {
				finding["KnownExploited"] = map[string]any{"Ransomware": false}
			}
			risk := map[string]any{}
			if c.Known {
				risk["KnownExploitedAsOf"] = c.Now.Format(time.RFC3339)
			}
			report := map[string]any{
				"Summary":     map[string]any{"Total": 1, "Risk": risk},
				"ImageAndTag": c.Image, "Status": "rejected", "Digest": exceptiontest.Manifest, "ScannedAt": "2026-11-01T00:00:00Z",
				"Vulnerabilities": []any{finding},
			}
			metadata := map[string]any{"name": "p", "namespace": c.Namespace}
			if c.Written != "" {
				report["Image"], report["ImageAndTag"] = c.Image, c.Written
				metadata["annotations"] = map[string]any{"original-image.imagegate.dev/app": c.Written}
			}
			value, err := ast.InterfaceToValue(map[string]any{"system_error": "", "errors": []any{}, "responses": []any{[]any{"k", report}}})
			if err != nil {
				t.Fatal(err)
			}
			answer = ast.NewTerm(value)
			pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": map[string]any{
				"containers": []any{map[string]any{"name": "app", "image": c.Image}},
			}}
			found, err := query.Eval(t.Context(), rego.EvalTime(c.Now), rego.EvalInput(map[string]any{
				"review": map[string]any{
					"kind":      map[string]any{"group": "", "version": "v1", "kind": "Pod"},
					"operation": "CREATE", "namespace": c.Namespace, "object": pod,
				},
				"parameters": map[string]any{"exceptions": []any{c.Exception}},
			}))
			if err != nil {
				t.Fatal(err)
			}
			messages, _ := found[0].Expressions[0].Value.([]any)
			got := exceptiontest.Excepted
			if len(messages) > 0 {
				got = exceptiontest.Counts
				if first, _ := messages[0].(string); strings.HasPrefix(first, "Configuration error: ") {
					got = exceptiontest.Refused
				}
			}
			if got != c.Want {
				t.Errorf("%s, want it %s: %v", got, c.Want, messages)
			}
		})
	}
}
