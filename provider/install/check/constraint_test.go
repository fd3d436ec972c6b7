package check

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install/finding"
)

func TestDenies(t *testing.T) {
	scoped := func(action, point string) map[string]any {
		return map[string]any{"enforcementAction": "scoped", "scopedEnforcementActions": []any{
			map[string]any{"action": "warn", "enforcementPoints": []any{map[string]any{"name": "*"}}},
			map[string]any{"action": action, "enforcementPoints": []any{map[string]any{"name": point}}},
		}}
	}
	for name, c := range map[string]struct {
		spec map[string]any
		want bool
	}{
		"no action":                   {map[string]any{}, true},
		"deny":                        {map[string]any{"enforcementAction": "deny"}, true},
		"warn":                        {map[string]any{"enforcementAction": "warn"}, false},
		"dryrun":                      {map[string]any{"enforcementAction": "dryrun"}, false},
		"scoped, at the webhook":      {scoped("deny", "validation.gatekeeper.sh"), true},
		"scoped, everywhere":          {scoped("deny", "*"), true},
		"scoped, in audit alone":      {scoped("deny", "audit.gatekeeper.sh"), false},
		"scoped, dryrun":              {scoped("dryrun", "*"), false},
		"scoped, and nothing is said": {map[string]any{"enforcementAction": "scoped"}, false},
	} {
		if got := Denies(&unstructured.Unstructured{Object: map[string]any{"spec": c.spec}}); got != c.want {
			t.Errorf("%s: denies %v", name, got)
		}
	}
}

func TestARuleThatNeverDecidesIsFound(t *testing.T) {
	rules := map[string]any{"alwaysReject": []any{"a.io/"}, "alwaysAccept": []any{"b.io/", "a.io/b/"}}
	found := Constraint(&unstructured.Unstructured{Object: map[string]any{
		"kind": "ImageScanPolicy", "metadata": map[string]any{"name": "p"},
		"spec": map[string]any{"parameters": map[string]any{"scanRules": rules}},
	}})
	if len(found) != 1 || found[0].ID != finding.ConstraintRuleIdle || found[0].Severity != finding.Warning ||
		found[0].Message != "ImageScanPolicy p: scanRules.alwaysAccept[1] never decides: alwaysReject 'a.io/' comes before it and matches all that begins with 'a.io/b/'" {
		t.Errorf("%+v", found)
	}
}
