package policy_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/install/policy"
	"github.com/imagegate/imagegate/templates"
)

func objectsOf(t *testing.T, text string) *policy.Objects {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.Make(policy.Surroundings{Namespace: "ours", GatekeeperNamespace: "theirs", Provider: "imagegate-provider"})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestTheArticlesSpelling writes both spellings, of which one is that of "Performing Image
// Scanning on Admission Controller with OPA",
// https://sysdig.com/blog/image-scanning-admission-controller/, and finds them in the parameters.
func TestTheArticlesSpelling(t *testing.T) {
	made := objectsOf(t, `
name: mine
enforcementAction: warn
exemptNamespaces: [cni, kube-system]
match: {namespaceSelector: {matchLabels: {a: b}}, excludedNamespaces: [more]}
scanRules:
  autoGenerate: true
  defaultPolicy: scan-result
  alwaysReject: [bad-registry.com/]
  byNamespace: {dev: {reportPending: accept}}
parameters: {help: Ask.}
`)
	var want map[string]any
	if err := yaml.Unmarshal([]byte(`
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: ImageScanPolicy
metadata: {name: mine}
spec:
  enforcementAction: warn
  match:
    kinds: [{apiGroups: [""], kinds: [Pod]}]
    namespaceSelector: {matchLabels: {a: b}}
    excludedNamespaces: [kube-system, kube-node-lease, kube-public, ours, theirs, cni, more]
  parameters:
    help: Ask.
    scanRules:
      autoGenerate: true
      defaultPolicy: scan-result
      alwaysReject: [bad-registry.com/]
      byNamespace: {dev: {reportPending: accept}}
`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, made.Generated.Object); diff != "" {
		t.Error(diff)
	}
	if made.Own != nil || made.OwnTemplate != nil || made.Problem != nil {
		t.Errorf("%+v", made)
	}
	made = objectsOf(t, `{preScanPolicies: {defaultPolicy: scan}, scanPolicies: {customPolicies: [{prefix: a/, action: accept}]}}`)
	parameters := made.Generated.Object["spec"].(map[string]any)["parameters"].(map[string]any)
	if len(parameters) != 2 || parameters["preScanPolicies"] == nil || parameters["scanPolicies"] == nil {
		t.Errorf("%v", parameters)
	}
}

func TestEveryTemplateIsInstalled(t *testing.T) {
	names, err := templates.Policies()
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, u := range objectsOf(t, "").Templates {
		have = append(have, u.GetName())
		kind := u.Object["spec"].(map[string]any)["crd"].(map[string]any)["spec"].(map[string]any)["names"].(map[string]any)["kind"].(string)
		if !policy.Known("constraints.gatekeeper.sh/v1beta1", kind) {
			t.Errorf("Constraints of %s are not among the kinds", kind)
		}
	}
	if diff := cmp.Diff(names, have); diff != "" {
		t.Error(diff)
	}
}

// TestTheRightsAreForTheKinds holds rbac.yaml against the kinds.
func TestTheRightsAreForTheKinds(t *testing.T) {
	text, err := os.ReadFile("../rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var role struct {
			Kind  string
			Rules []struct{ APIGroups, Resources, Verbs []string }
		}
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		for _, r := range role.Rules {
			for _, resource := range r.Resources {
				if role.Kind == "ClusterRole" && slices.Contains(r.Verbs, "delete") {
					allowed[r.APIGroups[0]+"/"+resource] = true
				}
			}
		}
	}
	needed := map[string]bool{}
	for _, k := range policy.Kinds() {
		needed[k.Group+"/"+k.Resource] = true
	}
	if diff := cmp.Diff(needed, allowed); diff != "" {
		t.Error(diff)
	}
}

const rules = "customRules: |\n  deny_image[msg] { input.ScanReport.Status == \"rejected\"; msg := \"no\" }\n"

func TestOwnRules(t *testing.T) {
	made := objectsOf(t, rules+"scanPolicies: {autoGenerate: false}\n")
	if made.Generated != nil || made.Own == nil || made.Own.GetKind() != policy.OwnKind || made.OwnTemplate == nil || made.OwnTemplate.GetName() != policy.OwnTemplate || made.Problem != nil {
		t.Errorf("%+v", made)
	}
	// The chart's examples are nothing but comments.
	made = objectsOf(t, "customRules: |\n  # deny_image[msg] { ... }\npreCustomRules: ''\n")
	if made.Generated == nil || made.Own != nil {
		t.Errorf("%+v", made)
	}
	made = objectsOf(t, "preCustomRules: |\n  deny_pod[msg] { input.PodObject.spec.hostPID; msg := \"no\" }\n"+rules)
	if made.Problem != nil {
		t.Error(made.Problem)
	}
	code, err := yaml.Marshal(made.OwnTemplate)
	if err != nil || !strings.Contains(string(code), "deny_pod[msg]") || !strings.Contains(string(code), "deny_image[msg]") {
		t.Errorf("%s %v", code, err)
	}
	made = objectsOf(t, "preCustomRules: 'allow_pod { x }'\n")
	if made.Problem == nil || made.Generated == nil || made.Own == nil || made.OwnTemplate != nil {
		t.Errorf("%+v", made)
	}
}
