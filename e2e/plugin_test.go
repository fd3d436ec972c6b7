package e2e_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/e2e/kubectl"
	"github.com/imagegate/imagegate/e2e/registry"
)

// plugin runs `kubectl imagegate` and returns what it prints and its exit code.
func plugin(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	out, err := shared.Cluster.Kubectl(t.Context(), append([]string{"imagegate"}, args...)...)
	if code, err = kubectl.Code(err); err != nil {
		t.Fatal(err)
	}
	return out, code
}

// tenantRights are those that `kubectl imagegate why` says it takes.
const tenantRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: NAMESPACE, name: tenant}
rules:
- {apiGroups: [apps], resources: [deployments], verbs: [get]}
- {apiGroups: [apps], resources: [replicasets], verbs: [list]}
- {apiGroups: [""], resources: [events], verbs: [list]}
- {apiGroups: [""], resources: [pods], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {namespace: NAMESPACE, name: tenant}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: tenant}]
`

// A tenant whose Deployment gets no Pods asks why, with a tenant's rights.
func TestATenantAsksWhy(t *testing.T) {
	ns := namespace(t, denyPolicy)
	if err := shared.Cluster.Apply(t.Context(), strings.ReplaceAll(tenantRights, "NAMESPACE", ns)); err != nil {
		t.Fatal(err)
	}
	create(t, deployment(ns, sample(t, registry.Vulnerable).Ref)).admitted(t)
	eventually(t, patience, func() error {
		if len(failedCreates(t, ns)) == 0 {
			return errors.New("the controller was not denied yet")
		}
		return nil
	})
	why := []string{"why", "deployment/app", "-n", ns, "--as", "tenant"}
	out, code := plugin(t, why...)
	for _, want := range []string{"now: denied", "by constraint " + constraintOf(denyPolicy), "CVE-2022-32149 (High)", "Build the image with the fixed versions"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if code != 1 || strings.Contains(out, "not known") || strings.Contains(out, "no denial is on record") {
		t.Errorf("exit code %d: %s", code, out)
	}
	out, code = plugin(t, append(why, "-o", "json")...)
	var answers []struct {
		Denials []struct {
			Constraint string
			Count      int
			Last       string
		}
		Now struct{ Allowed bool }
	}
	if err := json.Unmarshal([]byte(out), &answers); err != nil || code != 1 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if len(answers) != 1 || len(answers[0].Denials) == 0 || answers[0].Denials[0].Constraint != constraintOf(denyPolicy) || answers[0].Denials[0].Last == "" || answers[0].Now.Allowed {
		t.Errorf("%+v", answers)
	}

	// Somebody with fewer rights reads what is not known, and no good news.
	if out, err := shared.Cluster.Kubectl(t.Context(), "-n", ns, "patch", "role", "tenant", "--type=json",
		`-p=[{"op":"replace","path":"/rules","value":[{"apiGroups":["apps"],"resources":["deployments"],"verbs":["get"]}]}]`); err != nil {
		t.Fatal(out)
	}
	out, code = plugin(t, why...)
	if code != 1 || !strings.Contains(out, "now: not known") || !strings.Contains(out, "list events") || !strings.Contains(out, "by constraint") {
		t.Errorf("with fewer rights, by the Deployment's conditions: exit code %d: %s", code, out)
	}
	if out, code = plugin(t, "why", "service/kubernetes", "-n", "default"); code != 2 || !strings.Contains(out, "has no spec.template") {
		t.Errorf("of a Service: exit code %d: %s", code, out)
	}
}

// A policy that only warns says what it would deny.
func TestWhyWarns(t *testing.T) {
	ns := namespace(t, warnPolicy)
	create(t, deployment(ns, sample(t, registry.Vulnerable).Ref)).admitted(t)
	available(t, ns, patience)
	out, code := plugin(t, "why", "deployment/app", "-n", ns)
	if code != 0 || !strings.Contains(out, "a Pod of it would be let in") || !strings.Contains(out, "warning: ") || !strings.Contains(out, "CVE-2022-32149 (High)") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestWhyOfWhatIsLetIn(t *testing.T) {
	ns := namespace(t, denyPolicy)
	create(t, deployment(ns, sample(t, registry.Fixed).Ref)).admitted(t)
	available(t, ns, patience)
	out, code := plugin(t, "why", "deployment/app", "-n", ns)
	if code != 0 || !strings.Contains(out, "a Pod of it would be let in") || !strings.Contains(out, "no denial is on record") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code = plugin(t, "why", "deployment/app", "-n", ns, "--dry-run=false"); code != 2 || !strings.Contains(out, "no good news") {
		t.Errorf("without asking: exit code %d: %s", code, out)
	}
}
