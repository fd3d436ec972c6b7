package pin

import (
	"encoding/json"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/imagegate/imagegate/provider/platform"
	"github.com/imagegate/imagegate/templates/regotest"
)

type platformCase struct {
	Name     string         `json:"name"`
	Spec     map[string]any `json:"spec"`
	Platform string         `json:"platform"`
}

// platformCases is the table that the templates' library is tested with.
func platformCases(t *testing.T) []platformCase {
	t.Helper()
	sources, err := regotest.Load("../../templates")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := regotest.Parse(sources, ast.RegoV1)
	if err != nil {
		t.Fatal(err)
	}
	compiler := regotest.Compiler(false).WithDefaultRegoVersion(ast.RegoV1)
	if compiler.Compile(modules); compiler.Failed() {
		t.Fatal(compiler.Errors)
	}
	found, err := rego.New(rego.Compiler(compiler), rego.Query("data.lib.platform_test.cases")).Eval(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("no table: %v, %v", found, err)
	}
	b, err := json.Marshal(found[0].Expressions[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	var cases []platformCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// A Pod is read by the mutator as templates read it, and the provider
// understands what either of them says.
func TestWhatPodsSayOfTheirPlatforms(t *testing.T) {
	cases := platformCases(t)
	if len(cases) < 30 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			object, err := json.Marshal(map[string]any{"spec": tc.Spec})
			if err != nil {
				t.Fatal(err)
			}
			l, _ := Locate("", "pods", "")
			pod, err := Read(object, l)
			if err != nil {
				t.Fatal(err)
			}
			if pod.Platform != tc.Platform {
				t.Errorf("platform is %q, want %q", pod.Platform, tc.Platform)
			}
			if _, err := platform.Parse(pod.Platform); err != nil {
				t.Errorf("the provider does not understand it: %v", err)
			}
		})
	}
}

func TestMalformedPlatformsAreRefused(t *testing.T) {
	for _, spec := range []string{
		`{"nodeSelector":["x"]}`, `{"nodeSelector":{"kubernetes.io/os":1}}`, `{"os":"linux"}`, `{"os":{"name":1}}`,
		`{"affinity":1}`, `{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":1}}}}`,
		`{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":1}]}}}}`,
		`{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":1}]}]}}}}`,
		`{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"values":1}]}]}}}}`,
		`{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"values":[1]}]}]}}}}`,
	} {
		l, _ := Locate("", "pods", "")
		if pod, err := Read([]byte(`{"spec":`+spec+`}`), l); err == nil {
			t.Errorf("%s is read as %q", spec, pod.Platform)
		}
	}
}
