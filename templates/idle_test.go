package templates_test

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/templates"
)

func TestIdleRules(t *testing.T) {
	for name, c := range map[string]struct {
		parameters string
		want       []string
	}{
		"accepted below what is rejected": {"scanRules: {alwaysReject: [a.io/, ghcr.io/], alwaysAccept: [b.io/, ghcr.io/team/]}", []string{
			"scanRules.alwaysAccept[1] never decides: alwaysReject 'ghcr.io/' comes before it and matches all that begins with 'ghcr.io/team/'"}},
		"the same": {"scanRules: {alwaysReject: [ghcr.io/], alwaysAccept: [ghcr.io/]}", []string{
			"scanRules.alwaysAccept[0] never decides: alwaysReject 'ghcr.io/' comes before it and matches all that begins with 'ghcr.io/'"}},
		"judged by its report": {"scanRules: {alwaysReject: [a.io/], alwaysScanResult: [a.io/b, c.io/], alwaysAccept: [c.io/d]}", []string{
			"scanRules.alwaysScanResult[0] never decides: alwaysReject 'a.io/' comes before it and matches all that begins with 'a.io/b'",
			"scanRules.alwaysAccept[0] never decides: alwaysScanResult 'c.io/' comes before it and matches all that begins with 'c.io/d'"}},
		"rejected below what is accepted": {"scanRules: {alwaysReject: [ghcr.io/evil/], alwaysScanResult: [ghcr.io/new/], alwaysAccept: [ghcr.io/]}", nil},
		"a namespace's own": {"scanRules: {alwaysReject: [ghcr.io/], byNamespace: {dev: {alwaysAccept: [ghcr.io/dev/]}}}", []string{
			"scanRules.byNamespace.dev.alwaysAccept[0] never decides: alwaysReject 'ghcr.io/' comes before it and matches all that begins with 'ghcr.io/dev/'"}},
		"a namespace that rejects less":      {"scanRules: {alwaysReject: [ghcr.io/], alwaysAccept: [ghcr.io/dev/], byNamespace: {dev: {alwaysReject: []}}}", nil},
		"a namespace that rejects elsewhere": {"scanRules: {alwaysReject: [ghcr.io/], byNamespace: {dev: {alwaysReject: [a.io/], alwaysAccept: [ghcr.io/dev/]}}}", nil},
		"a namespace that changes nothing of it": {"scanRules: {alwaysReject: [ghcr.io/], alwaysAccept: [ghcr.io/dev/], byNamespace: {dev: {scanFailed: accept}}}", []string{
			"scanRules.alwaysAccept[0] never decides: alwaysReject 'ghcr.io/' comes before it and matches all that begins with 'ghcr.io/dev/'"}},
		"a policy": {"preScanPolicies: {customPolicies: [{prefix: a.io/, action: reject}, {prefix: a.io/b/, action: scan}]}\nscanPolicies: {customPolicies: [{prefix: a.io/, action: scan-result}, {prefix: a.io/b/, action: accept}]}", []string{
			"preScanPolicies.customPolicies[1] never decides: 'a.io/' comes before it and matches all that begins with 'a.io/b/'",
			"scanPolicies.customPolicies[1] never decides: 'a.io/' comes before it and matches all that begins with 'a.io/b/'"}},
		"an order that is right":      {"scanPolicies: {customPolicies: [{prefix: a.io/b/, action: accept}, {prefix: a.io/, action: reject}]}", nil},
		"a stricter one behind":       {"scanPolicies: {customPolicies: [{prefix: a.io/, action: accept}, {prefix: a.io/b/, action: reject}]}", nil}, // refused by the template
		"the same action":             {"scanPolicies: {customPolicies: [{prefix: a.io/, action: reject}, {prefix: a.io/b/, action: reject}]}", nil},
		"an action that there is not": {"scanPolicies: {customPolicies: [{prefix: a.io/, action: scan-result}, {prefix: a.io/b/, action: acept}]}", nil}, // refused by the template
		"beside, not below":           {"scanRules: {alwaysReject: [ghcr.io/a/], alwaysAccept: [ghcr.io/b/, ghcr.io/]}", nil},
		"parameters that are not":     {"scanRules: [a]\nscanPolicies: {customPolicies: x, byNamespace: {dev: null}}", nil},
		"none":                        {"{}", nil},
	} {
		var parameters map[string]any
		if err := yaml.Unmarshal([]byte(c.parameters), &parameters); err != nil {
			t.Fatal(err)
		}
		got := templates.IdleRules(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"parameters": parameters}}})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := templates.IdleRules(&unstructured.Unstructured{Object: map[string]any{}}); got != nil {
		t.Error(got)
	}
}
