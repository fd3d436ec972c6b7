package tests

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/charts/render"
	"github.com/imagegate/imagegate/provider/install/policy"
)

// What the provider makes of the ConfigMap: its own code reads it.
func TestTheProviderTakesThePolicies(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, name string, values map[string]any) {
		list := objects(t, values)
		i := slices.IndexFunc(list, func(u *unstructured.Unstructured) bool { return strings.HasSuffix(u.GetName(), "-policies") })
		if i < 0 {
			if name != "gitops" && name != "secret" {
				t.Error("there are no policies")
			}
			return
		}
		text := as[corev1.ConfigMap](t, list[i]).Data["policies.yaml"]
		p, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		made, err := p.Make(policy.Surroundings{Namespace: list[i].GetNamespace(), GatekeeperNamespace: "gatekeeper-system", Provider: "imagegate-provider"})
		if err != nil || made.Problem != nil {
			t.Fatalf("%v, %v", err, made.Problem)
		}
		switch name {
		case "article", "successor":
			if made.Own == nil || made.OwnTemplate == nil {
				t.Errorf("customRules came to nothing")
			}
			for _, key := range []string{"scanRules", "scanPolicies", "preScanPolicies"} {
				want, given := values[key]
				got, found, _ := unstructured.NestedMap(made.Own.Object, "spec", "parameters", key)
				if found != given || given && !reflect.DeepEqual(normal(t, want), normal(t, got)) {
					t.Errorf("%s: %v, want %v", key, got, want)
				}
			}
		case "default":
			if made.Generated == nil || made.Own != nil {
				t.Error("without any rules there is the generated policy")
			}
		case "demo":
			if made.Generated != nil {
				t.Error("autoGenerate: false generates")
			}
		}
	})
}

// preCustomRules of the original's chart were never used.
func TestRulesBeforeTheScanAreUsed(t *testing.T) {
	t.Parallel()
	list := objects(t, parse(t, `preCustomRules: 'deny_pod["before the scan"] { true }'`))
	text := as[corev1.ConfigMap](t, one(t, list, "ConfigMap", "gate-imagegate-policies")).Data["policies.yaml"]
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.Make(policy.Surroundings{Namespace: "x", Provider: "imagegate-provider"})
	if err != nil || made.Problem != nil {
		t.Fatal(err, made.Problem)
	}
	rego, err := yaml.Marshal(made.OwnTemplate.Object)
	if err != nil || !strings.Contains(string(rego), "before the scan") {
		t.Errorf("the rule is not in the template (%v)", err)
	}
}

func normal(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// With policies.manage: chart the objects are those that the provider would make.
func TestPoliciesAsObjectsAreThoseOfTheProvider(t *testing.T) {
	t.Parallel()
	values := sets(t)["gitops"]
	asChart := objects(t, values)
	policies, _ := values["policies"].(map[string]any)
	policies["manage"] = "process"
	asProcess := objects(t, values)
	text := as[corev1.ConfigMap](t, one(t, asProcess, "ConfigMap", "gate-imagegate-policies")).Data["policies.yaml"]
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.Make(policy.Surroundings{Namespace: release.Namespace, GatekeeperNamespace: "gatekeeper-system", Provider: "images-provider"})
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clone(made.Templates), made.Generated)
	want = append(want, made.Further...)
	seen := 0
	for _, w := range want {
		got := one(t, asChart, w.GetKind(), w.GetName())
		seen++
		if !reflect.DeepEqual(normal(t, got.Object["spec"]), normal(t, w.Object["spec"])) {
			t.Errorf("%s %s: the chart has\n%v\nand the provider makes\n%v", w.GetKind(), w.GetName(), got.Object["spec"], w.Object["spec"])
		}
		if w.GetKind() != "ConstraintTemplate" {
			a := got.GetAnnotations()
			if a["argocd.argoproj.io/sync-options"] != "SkipDryRunOnMissingResource=true" || a["argocd.argoproj.io/sync-wave"] != "1" {
				t.Errorf("%s %s has no annotations for Argo CD: %v", w.GetKind(), w.GetName(), a)
			}
		}
	}
	if seen < 6 {
		t.Errorf("%d objects compared", seen)
	}
	policies["manage"], policies["constraints"] = "chart", false
	for _, u := range objects(t, values) {
		if strings.HasPrefix(u.GetAPIVersion(), "constraints.") {
			t.Errorf("policies.constraints: false renders %s", u.GetName())
		}
	}
}

// grant is one right.
type grant struct{ group, resource, name, verb string }

func grants(rules []rbacv1.PolicyRule) map[grant]bool {
	all := map[grant]bool{}
	for _, r := range rules {
		names := r.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, name := range names {
					for _, verb := range r.Verbs {
						all[grant{group, resource, name, verb}] = true
					}
				}
			}
		}
	}
	return all
}

// The rights that the code's own manifests say it needs, and no others. Which of them
// are used, and which are denied, is a test of the installed system.
func TestRightsAreThoseThatTheCodeNeeds(t *testing.T) {
	t.Parallel()
	list := objects(t, parse(t, "{nudge: {enabled: true}, inventory: {enabled: true}}"))
	want := map[string]map[grant]bool{"Role": {}, "ClusterRole": {}}
	names := strings.NewReplacer("imagegate-state", "gate-imagegate-state", "imagegate-policies", "gate-imagegate-policies", "imagegate-tls", "gate-imagegate-tls",
		"imagegate-install", "gate-imagegate-install", "imagegate-mutator", "gate-imagegate", "imagegate-nudge", "gate-imagegate-nudge",
		"imagegate-inventory", "gate-imagegate-inventory")
	var policies []*unstructured.Unstructured
	for _, file := range []string{"../../provider/install/rbac.yaml", "../../provider/nudge/rbac.yaml", "../../provider/inventory/rbac.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range render.Documents(names.Replace(string(text))) {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
				t.Fatal(err)
			}
			collect(t, want, u)
			if strings.HasPrefix(u.GetKind(), "ValidatingAdmissionPolicy") {
				policies = append(policies, u)
			}
		}
	}
	got := map[string]map[grant]bool{"Role": {}, "ClusterRole": {}}
	for _, u := range list {
		collect(t, got, u)
	}
	for kind := range want {
		if len(want[kind]) == 0 {
			t.Errorf("no %s is known", kind)
		}
		for g := range want[kind] {
			if !got[kind][g] {
				t.Errorf("%s: missing %+v", kind, g)
			}
		}
		for g := range got[kind] {
			if !want[kind][g] {
				t.Errorf("%s: nobody needs %+v", kind, g)
			}
		}
	}
	if len(policies) != 2 {
		t.Fatalf("%d policies confine the nudge", len(policies))
	}
	for _, w := range policies {
		have := one(t, list, w.GetKind(), w.GetName())
		spec := strings.ReplaceAll(toJSON(t, w.Object["spec"]), "imagegate-system:imagegate-provider", "imagegate-system:gate-imagegate")
		if got := toJSON(t, have.Object["spec"]); got != spec {
			t.Errorf("%s:\n%s\nwant\n%s", w.GetKind(), got, spec)
		}
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func collect(t *testing.T, into map[string]map[grant]bool, u *unstructured.Unstructured) {
	t.Helper()
	if into[u.GetKind()] == nil {
		return
	}
	for g := range grants(as[rbacv1.ClusterRole](t, &unstructured.Unstructured{Object: map[string]any{"metadata": u.Object["metadata"], "rules": u.Object["rules"]}}).Rules) {
		into[u.GetKind()][g] = true
	}
}

func TestRightsByMode(t *testing.T) {
	t.Parallel()
	rights := func(values string) map[grant]bool {
		all := map[string]map[grant]bool{"Role": {}, "ClusterRole": {}}
		for _, u := range objects(t, parse(t, values)) {
			collect(t, all, u)
		}
		for g := range all["Role"] {
			all["ClusterRole"][g] = true
		}
		return all["ClusterRole"]
	}
	has := func(r map[grant]bool, resource, verb string) bool {
		for g := range r {
			if g.resource == resource && g.verb == verb && g.name == "" {
				return true
			}
		}
		return false
	}
	if r := rights("{}"); has(r, "secrets", "get") || has(r, "serviceaccounts", "get") || has(r, "replicasets", "patch") || !has(r, "constrainttemplates", "delete") {
		t.Errorf("by default: %v", r)
	}
	if r := rights("policies: {manage: chart}"); has(r, "constrainttemplates", "create") {
		t.Error("with policies.manage: chart the provider may write templates")
	}
	if r := rights("certificates: {mode: secret, secretName: x}"); has(r, "secrets", "create") {
		t.Error("with a given Secret the provider may make some")
	}
	if r := rights("pullSecrets: {enabled: true}"); !has(r, "secrets", "get") || !has(r, "serviceaccounts", "get") {
		t.Error("pullSecrets cannot be read")
	}
	list := objects(t, parse(t, "pullSecrets: {enabled: true, namespaces: [shop]}"))
	for _, u := range list {
		if u.GetKind() == "ClusterRole" && strings.Contains(u.GetName(), "pull") {
			t.Error("with pullSecrets.namespaces all namespaces can be read")
		}
	}
	if r := one(t, list, "Role", "gate-imagegate-pull-secrets"); r.GetNamespace() != "shop" {
		t.Errorf("the Role is in %s", r.GetNamespace())
	}
	if r := rights("{rbac: {create: false}, nudge: {enabled: true}, inventory: {enabled: true}, pullSecrets: {enabled: true}}"); len(r) > 0 {
		t.Errorf("rbac.create: false gives %v", r)
	}
}
