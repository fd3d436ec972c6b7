package check

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
