package templates

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"sigs.k8s.io/yaml"
)

// target is the name of Gatekeeper's validation target.
const target = "admission.k8s.gatekeeper.sh"

const generatedNotice = "# Generated from src.rego, crd.tmpl, ../parameters.tmpl and ../lib by go run ./templates/gen: do not edit.\n"

// Generate builds the ConstraintTemplate of a policy from its sources. Generated
// returns the one that was written to the policy's folder before.
func Generate(policy string) ([]byte, error) {
	file := policy + "/src.rego"
	text, err := sources.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("no policy %q: %w", policy, err)
	}
	module, err := parse(file, string(text), ast.RegoV1)
	if err != nil {
		return nil, err
	}
	libs, err := libraries(module)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", policy, err)
	}
	crd, err := frame(policy)
	if err != nil {
		return nil, err
	}
	out, err := withCode(crd, ast.RegoV1, string(text), libs)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", policy, err)
	}
	return append([]byte(generatedNotice), out...), nil
}

// withCode puts Rego into a ConstraintTemplate that has none.
func withCode(crd []byte, version ast.RegoVersion, rego string, libs []string) ([]byte, error) {
	template := map[string]any{}
	if err := yaml.UnmarshalStrict(crd, &template); err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	spec, ok := template["spec"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("reading the template: no spec")
	}
	if err := keepBlanks(spec); err != nil {
		return nil, err
	}
	source := map[string]any{"version": version.String(), "rego": rego}
	if len(libs) > 0 {
		source["libs"] = libs
	}
	spec["targets"] = []any{map[string]any{
		"target": target,
		"code":   []any{map[string]any{"engine": "Rego", "source": source}},
	}}
	out, err := yaml.Marshal(template)
	if err != nil {
		return nil, fmt.Errorf("writing the template: %w", err)
	}
	return out, nil
}

// GenerateAll builds every generated file, by its path in this folder.
func GenerateAll() (map[string][]byte, error) {
	policies, err := Policies()
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(policies)+1)
	for _, policy := range policies {
		text, err := Generate(policy)
		if err != nil {
			return nil, err
		}
		files[policy+"/template.yaml"] = text
	}
	if files["README.md"], err = Readme(); err != nil {
		return nil, err
	}
	return files, nil
}
