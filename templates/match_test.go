package templates_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/templates"
)

func TestMatchesPods(t *testing.T) {
	for match, want := range map[string]bool{
		`{}`:        true,
		`kinds: []`: true,
		`kinds: [{apiGroups: [""], kinds: [Pod]}]`:  true,
		`kinds: [{apiGroups: ["*"], kinds: ["*"]}]`: true,
		`kinds: [{kinds: [Pod]}]`:                   true,
		`kinds: [{apiGroups: [apps], kinds: [Deployment]}, {apiGroups: [""], kinds: [Service, Pod]}]`: true,
		`{scope: Namespaced, excludedNamespaces: [kube-system, "kube-*"]}`:                            true,
		`kinds: [{apiGroups: [""], kinds: [Pods]}]`:                                                   false,
		`kinds: [{apiGroups: [""], kinds: [pod]}]`:                                                    false,
		`kinds: [{apiGroups: [v1], kinds: [Pod]}]`:                                                    false,
		`kinds: [{apiGroups: [apps], kinds: ["*"]}]`:                                                  false,
		`scope: Cluster`: false,
	} {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(match), &m); err != nil {
			t.Fatal(err)
		}
		if got := templates.MatchesPods(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"match": m}}}); got != want {
			t.Errorf("%s: %v", match, got)
		}
	}
}
