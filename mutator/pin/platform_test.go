package pin

import (
	"encoding/json"
	"errors"
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

// fromTemplates reads a table that the templates' library is tested with.
func fromTemplates(t *testing.T, table string, into any) {
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
	found, err := rego.New(rego.Compiler(compiler), rego.Query("data.lib.platform_test."+table)).Eval(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("no table: %v, %v", found, err)
	}
	b, err := json.Marshal(found[0].Expressions[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// A Pod is read by the mutator as templates read it, and the provider
// understands what either of them says.
func TestWhatPodsSayOfTheirPlatforms(t *testing.T) {
	var cases []platformCase
	fromTemplates(t, "cases", &cases)
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

// Two lists of a thousand in a Pod of a few KiB allow a million platforms.
func TestMorePlatformsThanCanBeAskedAreNotSpelledOut(t *testing.T) {
	var wide []map[string]any
	fromTemplates(t, "wide", &wide)
	if len(wide) < 5 {
		t.Fatalf("only %d cases", len(wide))
	}
	l, _ := Locate("", "pods", "")
	for i, spec := range wide {
		object, err := json.Marshal(map[string]any{"spec": spec})
		if err != nil {
			t.Fatal(err)
		}
		if pod, err := Read(object, l); err != nil || !errors.Is(pod.PlatformErr, ErrPlatforms) || pod.Platform != "" {
			t.Errorf("case %d: %v, platforms %q", i, err, pod.Platform)
		}
	}
	var broad []struct {
		Spec     map[string]any `json:"spec"`
		Patterns int            `json:"patterns"`
	}
	fromTemplates(t, "broad", &broad)
	for i, tc := range broad {
		object, err := json.Marshal(map[string]any{"spec": tc.Spec})
		if err != nil {
			t.Fatal(err)
		}
		pod, err := Read(object, l)
		if err != nil || pod.PlatformErr != nil {
			t.Errorf("case %d: %v, %v", i, err, pod.PlatformErr)
			continue
		}
		if set, err := platform.Parse(pod.Platform); err != nil || len(set) != tc.Patterns {
			t.Errorf("case %d: %d platforms, %v, want %d", i, len(set), err, tc.Patterns)
		}
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
