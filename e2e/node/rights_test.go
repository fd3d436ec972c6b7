package node_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/imagegate/imagegate/e2e/node"
)

// right is one verb on one resource, of one name where the grant has names.
type right struct{ verb, group, resource, name string }

func (r right) String() string {
	s := r.verb + " " + r.resource
	if r.group != "" {
		s += "." + r.group
	}
	if r.name != "" {
		s += " " + r.name
	}
	return s
}

// everyKind is an object of each kind that policies may have beside the generated
// ones. Nobody in this cluster is meant by any of them.
const everyKind = `
policies:
  objects:
  - {apiVersion: expansion.gatekeeper.sh/v1beta1, kind: ExpansionTemplate, metadata: {name: rights}, spec: {applyTo: [{groups: [""], versions: [v1], kinds: [PodTemplate]}], templateSource: template, generatedGVK: {group: "", version: v1, kind: Pod}}}
  - {apiVersion: mutations.gatekeeper.sh/v1, kind: Assign, metadata: {name: rights}, spec: {applyTo: [{groups: [""], versions: [v1], kinds: [Pod]}], match: {namespaces: [nowhere]}, location: spec.priority, parameters: {assign: {value: 1}}}}
  - {apiVersion: mutations.gatekeeper.sh/v1, kind: AssignMetadata, metadata: {name: rights}, spec: {match: {namespaces: [nowhere]}, location: metadata.labels.rights, parameters: {assign: {value: x}}}}
  - {apiVersion: mutations.gatekeeper.sh/v1, kind: ModifySet, metadata: {name: rights}, spec: {applyTo: [{groups: [""], versions: [v1], kinds: [Pod]}], match: {namespaces: [nowhere]}, location: spec.imagePullSecrets, parameters: {operation: merge, values: {fromList: [x]}}}}
  - {apiVersion: constraints.gatekeeper.sh/v1beta1, kind: ImageVulnerabilities, metadata: {name: rights}, spec: {match: {namespaces: [nowhere]}}}
  - {apiVersion: constraints.gatekeeper.sh/v1beta1, kind: ImageDigestRequired, metadata: {name: rights}, spec: {match: {namespaces: [nowhere]}}}
  - {apiVersion: constraints.gatekeeper.sh/v1beta1, kind: ImageRegistryAllowed, metadata: {name: rights}, spec: {match: {namespaces: [nowhere]}, parameters: {registries: [registry.example.com]}}}
`

// TestRights has the provider do all that it does, and compares what it may with what
// it did: by the API server's audit log, each grant is used and nothing that it asked
// for was refused; and by its own account, it may do nothing else.
func TestRights(t *testing.T) {
	good, bad := images(t)
	gatekeeper(t)
	if err := on.Publish(t.Context(), "1.0.0"); err != nil {
		t.Fatal(err)
	}
	tenant(t, "rights")
	objects := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(objects, []byte(everyKind), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := release{name: "imagegate", namespace: node.AuditedNamespace, helm: on.Helm(4)}
	r.prepare(t)
	// Nobody waits for a scan, however quick, so that whoever asks is nudged. The settings
	// of the certificates are there until a leaf was made anew.
	settings := []string{"--set", "nudge.enabled=true,mutator.wait.duration=0s,provider.budget=20ms", "-f", objects,
		"--set", "certificates.leafValidity=30s,certificates.caValidity=10m,certificates.propagation=3s,certificates.overlap=8s"}
	r.upgrade(t, "1.0.0", settings...)
	first := leaf(t, r.namespace)
	enforcing(t, "rights", bad)
	eventually(t, func() error { return ask(t.Context(), "rights", good) })

	nudged(t)
	tampered(t)
	// Rules of one's own take the generated ones' place, and are taken back with all
	// the rest.
	r.upgrade(t, "1.0.0", append(settings, "--set-json", "customRules="+theArticlesRules)...)
	eventually(t, func() error { return there("imagegaterules/imagegate", "imagevulnerabilities/rights") })
	tamper(t, "imagegaterules", "imagegate", labelled)
	eventually(t, func() error { return there("imagegaterules/imagegate") })
	eventually(t, func() error {
		if leaf(t, r.namespace) == first {
			return errors.New("no certificate was made anew")
		}
		return nil
	})
	r.upgrade(t, "1.0.0", "--set", "nudge.enabled=true")
	eventually(t, func() error {
		if err := there("imagegaterules/imagegate"); err == nil {
			return errors.New("what is wanted no more is still there")
		}
		return nil
	})

	account := "system:serviceaccount:" + r.namespace + ":imagegate"
	granted := grants(t, r.namespace, "imagegate")
	used := map[right]bool{}
	for _, q := range audited(t, began, func(q request) bool { return q.User.Username == account }) {
		if q.Annotations["authorization.k8s.io/decision"] == "forbid" {
			t.Errorf("it was forbidden to %s %s %s/%s", q.Verb, q.ObjectRef.Resource, q.ObjectRef.Namespace, q.ObjectRef.Name)
		}
		verbs := []string{q.Verb}
		if q.Verb == "patch" && q.ResponseStatus.Code == http.StatusCreated {
			verbs = append(verbs, "create") // to apply what is not there takes both rights
		}
		for _, verb := range verbs {
			used[right{verb, q.ObjectRef.APIGroup, q.ObjectRef.Resource, ""}] = true
			used[right{verb, q.ObjectRef.APIGroup, q.ObjectRef.Resource, q.ObjectRef.Name}] = true
		}
	}
	unused := 0
	for _, g := range granted {
		if !used[g] {
			unused++
			t.Errorf("it may %s, which it has never done", g)
		}
	}
	fmt.Printf("FIGURE rights of the provider: %d granted, %d used\n", len(granted), len(granted)-unused) //nolint:forbidigo // a figure
	t.Run("Impersonated", func(t *testing.T) { impersonated(t, r, account) })
	r.uninstall(t)
}

// leaf is the certificate that replicas serve.
func leaf(t *testing.T, namespace string) string {
	t.Helper()
	return kubectl(t, "-n", namespace, "get", "secret", "imagegate-tls", "-o", `jsonpath={.data.tls\.crt}`)
}

// nudged has a workload of each kind ask for an image that nobody has scanned, until
// all of them were told that it is.
func nudged(t *testing.T) {
	t.Helper()
	owners := map[string]string{
		"replicasets":            "apiVersion: apps/v1\nkind: ReplicaSet",
		"statefulsets":           "apiVersion: apps/v1\nkind: StatefulSet",
		"daemonsets":             "apiVersion: apps/v1\nkind: DaemonSet",
		"jobs":                   "apiVersion: batch/v1\nkind: Job",
		"replicationcontrollers": "apiVersion: v1\nkind: ReplicationController",
	}
	for _, resource := range slices.Sorted(maps.Keys(owners)) {
		// One image each: a label is enough to make it another.
		if _, err := on.PushProgram(t.Context(), on.Programs().App, "private/"+resource, resource); err != nil {
			t.Fatal(err)
		}
		selector, policy := "{matchLabels: {app: "+resource+"}}", "Always"
		switch resource {
		case "jobs":
			selector, policy = "", "Never"
		case "replicationcontrollers":
			selector = "{app: " + resource + "}"
		}
		if selector != "" {
			selector = "\n  selector: " + selector
		}
		apply(t, owners[resource]+`
metadata: {name: nudged, namespace: rights}
spec:`+selector+`
  template:
    metadata: {labels: {app: `+resource+`}}
    spec:
      restartPolicy: `+policy+`
      imagePullSecrets: [{name: pull}]
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "registry.example.com:5000/private/`+resource+`:`+resource+`"}]
`)
	}
	for resource := range owners {
		eventually(t, func() error {
			if out := kubectl(t, "-n", "rights", "get", resource, "nudged", "-o", "jsonpath={.metadata.annotations}"); !strings.Contains(out, "imagegate.dev/scanned-at") {
				return fmt.Errorf("%s was not nudged: %s\n%s", resource, out, kubectl(t, "-n", "rights", "describe", resource, "nudged"))
			}
			return nil
		})
	}
	kubectl(t, "-n", "rights", "delete", strings.Join(slices.Sorted(maps.Keys(owners)), ","), "nudged", "--wait=false")
}

// labelled is a change that an apply leaves as it is, since nobody owned the field
// before.
const labelled = `{"spec": {"match": {"labelSelector": {"matchLabels": {"not": "ours"}}}}}`

// tampered changes an object of each kind and waits until it is as before.
func tampered(t *testing.T) {
	t.Helper()
	for resource, change := range map[string]string{
		"imagescanpolicy/imagegate":               labelled,
		"imagevulnerabilities/rights":             labelled,
		"imagedigestrequired/rights":              labelled,
		"imageregistryallowed/rights":             labelled,
		"assign/rights":                           labelled,
		"assignmetadata/rights":                   labelled,
		"modifyset/rights":                        labelled,
		"expansiontemplate/rights":                `{"spec": {"enforcementAction": "warn"}}`,
		"constrainttemplates/imagedigestrequired": `{"spec": {"crd": {"spec": {"names": {"shortNames": ["tampered"]}}}}}`,
	} {
		kind, name, _ := strings.Cut(resource, "/")
		tamper(t, kind, name, change)
	}
}

func tamper(t *testing.T, resource, name, change string) {
	t.Helper()
	get := func() string { return kubectl(t, "get", resource, name, "-o", "jsonpath={.spec}") }
	before := get()
	kubectl(t, "patch", resource, name, "--type=merge", "-p", change)
	eventually(t, func() error {
		if after := get(); after != before {
			return fmt.Errorf("%s %s is not repaired: %s, it was %s", resource, name, after, before)
		}
		return nil
	})
}

// there is nil when there are the objects, as resource/name.
func there(objects ...string) error {
	for _, o := range objects {
		if out, err := on.Kubectl.Run(context.Background(), nil, "get", o); err != nil {
			return fmt.Errorf("%s: %w: %s", o, err, out)
		}
	}
	return nil
}

// grants are all that the roles give which are bound to an account.
func grants(t *testing.T, namespace, account string) (all []right) {
	t.Helper()
	rules := func(kind, of, name string) []rbacv1.PolicyRule {
		if kind == "ClusterRole" {
			role, err := on.Client.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return role.Rules
		}
		role, err := on.Client.RbacV1().Roles(of).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return role.Rules
	}
	bound := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool { return s.Namespace == namespace && s.Name == account })
	}
	var found []rbacv1.PolicyRule
	everywhere, err := on.Client.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range everywhere.Items {
		if bound(b.Subjects) {
			found = append(found, rules(b.RoleRef.Kind, "", b.RoleRef.Name)...)
		}
	}
	here, err := on.Client.RbacV1().RoleBindings("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range here.Items {
		if bound(b.Subjects) {
			found = append(found, rules(b.RoleRef.Kind, b.Namespace, b.RoleRef.Name)...)
		}
	}
	for _, rule := range found {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						all = append(all, right{verb, group, resource, name})
					}
				}
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("the account has no rights")
	}
	return all
}

// impersonated asks the API server, as the provider, for what it may and may not.
func impersonated(t *testing.T, r release, account string) {
	config := rest.CopyConfig(on.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + r.namespace, "system:authenticated"}}
	as, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	may := func(verb, group, resource, namespace, name string) bool {
		t.Helper()
		a, err := as.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return a.Status.Allowed
	}
	for _, c := range []struct {
		allowed                                bool
		verb, group, resource, namespace, name string
	}{
		{true, "get", "", "secrets", "rights", "pull"},
		{true, "get", "", "serviceaccounts", "rights", "default"},
		{true, "update", "", "secrets", r.namespace, "imagegate-tls"},
		{true, "create", "", "events", r.namespace, ""},
		{true, "patch", "apps", "replicasets", "rights", "any"},
		{true, "patch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "imagegate"},
		{true, "create", "constraints.gatekeeper.sh", "imagescanpolicy", "", "imagegate"},

		{false, "list", "", "secrets", "", ""},
		{false, "watch", "", "secrets", "rights", ""},
		{false, "update", "", "secrets", "rights", "pull"},
		{false, "update", "", "secrets", "gatekeeper-system", "gatekeeper-webhook-server-cert"},
		{false, "delete", "", "secrets", r.namespace, "imagegate-tls"},
		{false, "get", "", "configmaps", "kube-system", "any"},
		{false, "update", "", "configmaps", r.namespace, "imagegate-policies"},
		{false, "create", "", "pods", r.namespace, ""},
		{false, "get", "", "pods", "rights", "any"},
		{false, "create", "", "pods/exec", r.namespace, "any"},
		{false, "get", "", "nodes", "", "any"},
		{false, "get", "", "namespaces", "", "any"},
		{false, "update", "apps", "replicasets", "rights", "any"},
		{false, "patch", "apps", "deployments", "rights", "any"},
		{false, "patch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "gatekeeper-mutating-webhook-configuration"},
		{false, "create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", ""},
		{false, "patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "gatekeeper-validating-webhook-configuration"},
		{false, "create", "constraints.gatekeeper.sh", "k8sallowedrepos", "", "any"},
		{false, "delete", "externaldata.gatekeeper.sh", "providers", "", "another"},
		{false, "update", "rbac.authorization.k8s.io", "clusterroles", "", "imagegate-install"},
		{false, "bind", "rbac.authorization.k8s.io", "clusterroles", "", "cluster-admin"},
		{false, "escalate", "rbac.authorization.k8s.io", "clusterroles", "", "any"},
		{false, "impersonate", "", "users", "", "kubernetes-admin"},
		{false, "create", "", "serviceaccounts/token", "kube-system", "any"},
	} {
		if got := may(c.verb, c.group, c.resource, c.namespace, c.name); got != c.allowed {
			t.Errorf("may it %s %s.%s %s/%s? %t, want %t", c.verb, c.resource, c.group, c.namespace, c.name, got, c.allowed)
		}
	}
	for _, other := range []string{"imagegate-worker", "default"} {
		config.Impersonate.UserName = "system:serviceaccount:" + r.namespace + ":" + other
		if as, err = kubernetes.NewForConfig(config); err != nil {
			t.Fatal(err)
		}
		if may("get", "", "secrets", r.namespace, "imagegate-tls") || may("get", "", "secrets", "rights", "pull") {
			t.Errorf("%s may read Secrets", other)
		}
	}
}
