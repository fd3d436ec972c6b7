package install

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/policy"
)

const strict = "scanPolicies: {defaultPolicy: scan-result}\nexemptNamespaces: [cni]\n"

var scanPolicy = policy.Constraint(policy.GeneratedKind).GVR()

// TestInstallsFromNothing has Gatekeeper there before, and everything in order.
func TestInstallsFromNothing(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	i.write(strict)
	i.ready = errors.New("scanner: it is being started")
	s := i.rounds(6)
	i.hasOnly(s, finding.ProviderNotReady, "scanner: it is being started")
	if s.Enforcing || api.object(scanPolicy, "imagegate") != nil {
		t.Error("a Constraint is there before the provider is ready")
	}
	i.ready = nil
	i.fine(i.rounds(2))
	constraint := api.object(scanPolicy, "imagegate")
	excluded, _, _ := unstructured.NestedStringSlice(constraint.Object, "spec", "match", "excludedNamespaces")
	if diff := cmp.Diff([]string{"kube-system", "kube-node-lease", "kube-public", "imagegate-system", "gk", "cni"}, excluded); diff != "" {
		t.Error(diff)
	}
	for k, u := range api.objects {
		if u.GetLabels()[Label] != "" && (len(u.GetOwnerReferences()) != 1 || u.GetOwnerReferences()[0].UID != api.object(ownerResource, "imagegate-install").GetUID()) {
			t.Errorf("%v has the owners %v", k, u.GetOwnerReferences())
		}
	}
	if n := len(api.names()); n != 1+4+1 {
		t.Errorf("installed: %v", api.names())
	}
	// What is right is not written again.
	api.writes = nil
	i.fine(i.rounds(3))
	if len(api.writes) > 0 {
		t.Errorf("written although nothing changed: %v", api.writes)
	}
	// The certificates are served, and verified by what is published.
	files, err := i.served.files()
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	bundle, _, _ := unstructured.NestedString(api.object(providers, "imagegate-provider").Object, "spec", "caBundle")
	if bundle != base64.StdEncoding.EncodeToString(files[CAFile]) {
		t.Error("another bundle is published than the one in the folder")
	}
	hooks, _, _ := unstructured.NestedSlice(api.object(mutating, "imagegate-mutator").Object, "webhooks")
	hook := hooks[0].(map[string]any)
	config := hook["clientConfig"].(map[string]any)
	if config["caBundle"] != bundle || config["service"] == nil || hook["failurePolicy"] != "Fail" {
		t.Errorf("the webhook is %v", hook)
	}
}

// TestGatekeeperComesLater, goes, and comes back.
func TestGatekeeperComesLater(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.write(strict)
	s := i.rounds(3)
	i.has(s, finding.GatekeeperMissing, "may be installed later")
	i.has(s, finding.GatekeeperCAUnknown, "clients are refused")
	if i.Status().Err() == nil || !strings.HasPrefix(i.Status().Err().Error(), "not enforcing yet, because ") {
		t.Errorf("%v", i.Status().Err())
	}
	if files, err := i.served.files(); err != nil || string(files[ClientCAFile]) != string(files[CAFile]) || len(files[CertFile]) == 0 {
		t.Errorf("of %d files, the client CAs are not our own alone (%v)", len(files), err)
	}
	for range 2 {
		i.gatekeeperComes(authority(t).CACert, "Fail", 5)
		i.fine(i.rounds(6))
		api.gatekeeper = false
		for k := range api.objects {
			if strings.HasSuffix(k.resource.Group, "gatekeeper.sh") {
				delete(api.objects, k)
			}
		}
		if s := i.rounds(2); s.Enforcing {
			t.Error("enforcing without Gatekeeper")
		}
	}
}

// TestTemplatesComeAfterGatekeepersWebhook: those that come between its CRDs and its
// webhook keep a Gatekeeper that fails closed from ever getting ready.
func TestTemplatesComeAfterGatekeepersWebhook(t *testing.T) {
	for name, audits := range map[string]bool{"with a webhook": false, "that only audits": true} {
		t.Run(name, func(t *testing.T) {
			api := newAPIServer(t)
			ca := filepath.Join(t.TempDir(), "ca.crt")
			if err := os.WriteFile(ca, authority(t).CACert, 0o600); err != nil {
				t.Fatal(err)
			}
			i := newInstallation(t, api, func(o *Options) { o.Gatekeeper.CAFile = ca })
			i.write(strict)
			api.gatekeeper = true
			s := i.rounds(4)
			i.has(s, finding.GatekeeperMissing, "no ValidatingWebhookConfiguration gatekeeper-vwc yet")
			provider := api.object(providers, "imagegate-provider")
			if provider == nil || api.object(policy.Template.GVR(), "imagescanpolicy") != nil {
				t.Fatalf("before the webhook there are %v", api.names())
			}
			if audits {
				provider.SetCreationTimestamp(metav1.NewTime(time.Now().Add(-patience)))
			} else {
				i.gatekeeperComes(authority(t).CACert, "Fail", 5)
			}
			if s := i.rounds(6); !s.Enforcing {
				t.Errorf("not enforcing: %v", s.Problems)
			}
			// What is there is kept right in any case.
			delete(api.objects, settledKey{validating, "gatekeeper-vwc"})
			provider.SetCreationTimestamp(metav1.Now())
			template := api.object(policy.Template.GVR(), "imagescanpolicy")
			_ = unstructured.SetNestedField(template.Object, "x", "spec", "crd", "spec", "names", "kind")
			template.SetGeneration(template.GetGeneration() + 1)
			i.rounds(2)
			if kind, _, _ := unstructured.NestedString(api.object(policy.Template.GVR(), "imagescanpolicy").Object, "spec", "crd", "spec", "names", "kind"); kind == "x" {
				t.Error("a template that is there is not repaired")
			}
		})
	}
}

// TestDriftIsRepaired changes and deletes what is installed.
func TestDriftIsRepaired(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	i.write(strict)
	i.fine(i.rounds(6))
	for name, change := range map[string]func(){
		"a changed field": func() {
			_ = unstructured.SetNestedField(api.object(scanPolicy, "imagegate").Object, "dryrun", "spec", "enforcementAction")
		},
		"a selector that empties it": func() {
			_ = unstructured.SetNestedField(api.object(scanPolicy, "imagegate").Object, "no", "spec", "match", "namespaceSelector", "matchLabels", "x")
		},
		"no label":      func() { api.object(scanPolicy, "imagegate").SetLabels(nil) },
		"no owner":      func() { api.object(scanPolicy, "imagegate").SetOwnerReferences(nil) },
		"no Constraint": func() { delete(api.objects, settledKey{scanPolicy, "imagegate"}) },
		"no template":   func() { delete(api.objects, settledKey{policy.Template.GVR(), "imagescanpolicy"}) },
		"no Provider":   func() { delete(api.objects, settledKey{providers, "imagegate-provider"}) },
		"another bundle": func() {
			_ = unstructured.SetNestedField(api.object(providers, "imagegate-provider").Object, "eA==", "spec", "caBundle")
		},
		"a webhook without": func() {
			_ = unstructured.SetNestedSlice(api.object(mutating, "imagegate-mutator").Object, []any{map[string]any{"name": "mutation.imagegate.dev", "clientConfig": map[string]any{}}}, "webhooks")
		},
	} {
		before := api.object(scanPolicy, "imagegate").DeepCopy().Object["spec"]
		change()
		// As the API server would.
		for k, u := range api.objects {
			u.SetGeneration(u.GetGeneration() + 1)
			api.objects[k] = u
		}
		i.fine(i.rounds(5))
		if diff := cmp.Diff(before, api.object(scanPolicy, "imagegate").Object["spec"]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		api.writes = nil
		if i.rounds(1); len(api.writes) > 0 {
			t.Errorf("%s: it is still written: %v", name, api.writes)
		}
	}
}

const (
	goodRules = "customRules: |\n  package imagegate\n  deny_image[msg] { input.ScanReport.Status == \"rejected\"; msg := \"no\" }\n"
	badRules  = "customRules: |\n  package imagegate\n  deny_image[msg] { msg := nothing }\n"
)

var ownRules = policy.Constraint(policy.OwnKind).GVR()

// TestRulesThatDoNotCompile leave the template before in force, and all else goes on.
func TestRulesThatDoNotCompile(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	i.write(badRules)
	s := i.rounds(6)
	i.hasOnly(s, finding.RulesDoNotCompile, "customRules:2: rego_unsafe_var_error")
	i.has(s, finding.RulesDoNotCompile, "only the generated rules are in force")
	if !s.Enforcing || api.object(scanPolicy, "imagegate") == nil {
		t.Fatal("the generated rules are not in force")
	}
	i.write(goodRules)
	i.fine(i.rounds(4))
	if api.object(scanPolicy, "imagegate") != nil || api.object(ownRules, "imagegate") == nil {
		t.Fatalf("there are %v", api.names())
	}
	template := api.object(policy.Template.GVR(), policy.OwnTemplate).DeepCopy()
	i.write(badRules + "enforcementAction: warn\nscanPolicies: {autoGenerate: false}\n")
	s = i.rounds(4)
	i.hasOnly(s, finding.RulesDoNotCompile, "the rules before stay in force")
	if diff := cmp.Diff(template.Object["spec"], api.object(policy.Template.GVR(), policy.OwnTemplate).Object["spec"]); diff != "" {
		t.Error(diff)
	}
	if action, _, _ := unstructured.NestedString(api.object(ownRules, "imagegate").Object, "spec", "enforcementAction"); !s.Enforcing || action != "warn" {
		t.Errorf("everything else did not go on: %s, %v", action, s)
	}
	i.write(strict)
	i.fine(i.rounds(4))
	if api.object(policy.Template.GVR(), policy.OwnTemplate) != nil || api.object(ownRules, "imagegate") != nil || api.object(scanPolicy, "imagegate") == nil {
		t.Errorf("there are %v", api.names())
	}
}

// TestWhatIsInForceOutlastsMistakes writes what cannot be used.
func TestWhatIsInForceOutlastsMistakes(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	i.write(strict)
	i.fine(i.rounds(6))
	for text, want := range map[string]struct {
		reason finding.ID
		words  string
	}{
		"scanPolicy: {}":                                      {finding.PoliciesInvalid, `unknown field "scanPolicy"`},
		"enforcementAction: block":                            {finding.PoliciesInvalid, "deny, warn or dryrun"},
		"scanRules: {}\nscanPolicies: {}":                     {finding.PoliciesInvalid, "which say the same"},
		"objects: [{apiVersion: v1, kind: Pod}]":              {finding.PoliciesInvalid, "objects[0]: v1 Pod is none of what is installed"},
		"scanPolicies: {autoGenerate: false}":                 {finding.PoliciesInvalid, "nothing judges a report"},
		"scanPolicies: {autoGenerate: false}\n" + badRules:    {finding.RulesDoNotCompile, "nothing is in force"},
		"parameters: {scanPolicies: {defaultPolicy: accept}}": {finding.PoliciesInvalid, "a place of its own"},
		"name: Not_A_Name":                                    {finding.PoliciesInvalid, "name"},
	} {
		i.write(text)
		i.has(i.rounds(3), want.reason, want.words)
		if u := api.object(scanPolicy, "imagegate"); u == nil {
			t.Fatalf("%s: the Constraint is gone", text)
		}
	}
	if err := i.core.CoreV1().ConfigMaps(i.o.Namespace).Delete(t.Context(), i.o.Policies.ConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s := i.rounds(2)
	i.hasOnly(s, finding.PoliciesMissing, "there is no policies.yaml in ConfigMap imagegate-system/imagegate-policies")
	if !s.Enforcing {
		t.Error("what is in force is not said to be")
	}
}

// TestConstraintsWaitForEveryPod has one Pod be slow, then gone.
func TestConstraintsWaitForEveryPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPIServer(t)
		i := newInstallation(t, api, nil)
		i.gatekeeperComes(authority(t).CACert, "Fail", 5)
		i.write(strict)
		i.fine(i.rounds(6))
		// The slow one still speaks of what was before.
		template := api.object(policy.Template.GVR(), "imagescanpolicy")
		byPod, _, _ := unstructured.NestedSlice(template.Object, "status", "byPod")
		byPod[1].(map[string]any)["observedGeneration"] = int64(0)
		_ = unstructured.SetNestedSlice(template.Object, byPod, "status", "byPod")
		i.write("scanPolicies: {defaultPolicy: reject}")
		_, _ = i.roundOnce(t.Context(), i.tell)
		i.has(i.tell.told, finding.TemplateNotTakenIn, "waits for Gatekeeper Pod webhook")
		said := i.tell.told.Err().Error()
		time.Sleep(20 * time.Second)
		if _, _ = i.roundOnce(t.Context(), i.tell); i.tell.told.Err().Error() != said {
			t.Errorf("each round has news: %v", i.tell.told.Err())
		}
		policyOf := func() string {
			s, _, _ := unstructured.NestedString(api.object(scanPolicy, "imagegate").Object, "spec", "parameters", "scanPolicies", "defaultPolicy")
			return s
		}
		if policyOf() != "scan-result" {
			t.Error("the Constraint did not wait")
		}
		time.Sleep(patience)
		if _, _ = i.roundOnce(t.Context(), i.tell); policyOf() != "reject" {
			t.Errorf("a Pod that is gone is waited for for ever: %v", i.tell.told)
		}
		i.tell.close()
		synctest.Wait()
	})
}

// TestRefusalsAreTold has the API server, and Gatekeeper, refuse.
func TestRefusalsAreTold(t *testing.T) {
	forbidden := func(resource string) func(string, schema.GroupVersionResource, string) error {
		return func(action string, r schema.GroupVersionResource, name string) error {
			if r.Resource == resource && action == "apply" {
				return apierrors.NewForbidden(r.GroupResource(), name, errRefused)
			}
			return nil
		}
	}
	for resource, reason := range map[string]finding.ID{
		"providers": finding.ProviderObjectRefused, "constrainttemplates": finding.TemplateRefused, "imagescanpolicy": finding.ConstraintRefused, "mutatingwebhookconfigurations": finding.WebhookNotPatched,
	} {
		api := newAPIServer(t)
		i := newInstallation(t, api, nil)
		i.gatekeeperComes(authority(t).CACert, "Fail", 5)
		i.write(strict)
		api.refuse = forbidden(resource)
		i.has(i.rounds(4), reason, "rbac.yaml")
		if again, err := i.roundOnce(t.Context(), i.tell); err == nil || again > roundAtMost {
			t.Errorf("%s: not tried again: %v, %s", resource, err, again)
		}
		if reason == finding.ProviderObjectRefused || reason == finding.WebhookNotPatched {
			state, _, err := i.state.read(t.Context())
			if err != nil || len(state.Ours.Authorities) != 1 || !state.Ours.Authorities[0].Published.IsZero() {
				t.Errorf("%s: said to be published: %+v, %v", resource, state.Ours, err)
			}
		}
		api.refuse = nil
		i.fine(i.rounds(6))
	}
	synctest.Test(t, func(t *testing.T) {
		api := newAPIServer(t)
		i := newInstallation(t, api, nil)
		i.gatekeeperComes(authority(t).CACert, "Fail", 5)
		i.write(strict)
		i.rounds(4, "imagescanpolicy")
		time.Sleep(contradicted)
		i.has(i.rounds(1, "imagescanpolicy"), finding.TemplateRefused, "Gatekeeper Pod audit: it does not fit")
		i.fine(i.rounds(4))
		i.tell.close()
		synctest.Wait()
	})
}

// TestWithoutItsOwnerNothingIsInstalled is the end of an uninstall: what the garbage
// collector removes does not come back.
func TestWithoutItsOwnerNothingIsInstalled(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	i.write(strict)
	i.fine(i.rounds(6))
	delete(api.objects, settledKey{ownerResource, "imagegate-install"})
	for k, u := range api.objects {
		if u.GetLabels()[Label] != "" {
			delete(api.objects, k)
		}
	}
	api.writes = nil
	i.hasOnly(i.rounds(2), finding.OwnerMissing, "ClusterRole imagegate-install")
	if len(api.writes) > 0 {
		t.Errorf("written: %v", api.writes)
	}
	// The chart is installed again.
	api.put(ownerResource, map[string]any{"metadata": map[string]any{"name": "imagegate-install"}})
	i.fine(i.rounds(6))
}

// TestModes install less.
func TestModes(t *testing.T) {
	for mode, want := range map[Mode]int{ModeChart: 1, ModeNone: 0} {
		api := newAPIServer(t)
		i := newInstallation(t, api, func(o *Options) { o.Mode = mode })
		i.gatekeeperComes(authority(t).CACert, "Fail", 5)
		s := i.rounds(4)
		if len(s.Problems) > 0 || s.Enforcing || i.Status().Err() != nil {
			t.Errorf("%s: %+v, %v", mode, s, i.Status().Err())
		}
		if n := len(api.names()); n != want {
			t.Errorf("%s: installed %v", mode, api.names())
		}
		if files, err := i.served.files(); err != nil || len(files) != 4 {
			t.Errorf("%s: serves %d files, %v", mode, len(files), err)
		}
		hooks, _, _ := unstructured.NestedSlice(api.object(mutating, "imagegate-mutator").Object, "webhooks")
		if _, found, _ := unstructured.NestedString(hooks[0].(map[string]any), "clientConfig", "caBundle"); found != (mode == ModeChart) {
			t.Errorf("%s: the webhook has a bundle: %t", mode, found)
		}
	}
}

// TestGatekeeperThatFailsOpen is warned of.
func TestGatekeeperThatFailsOpen(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Ignore", 2)
	i.write(strict)
	s := i.rounds(6)
	i.fine(s)
	i.has(s, finding.GatekeeperFailsOpen, "--set validatingWebhookFailurePolicy=Fail")
	i.has(s, finding.GatekeeperShortTimeout, "timeoutSeconds 2, and the provider may take 2")
	if len(s.Warnings) != 2 {
		t.Errorf("warnings %v", s.Warnings)
	}
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	if s := i.rounds(2); len(s.Warnings) > 0 {
		t.Errorf("warnings %v", s.Warnings)
	}
	eventually(t, i, "GatekeeperFailsOpen", "Enforcing", "Certificates")
}

// TestWhatDeniesLessThanItSeems is warned of: a mutator that fails open, and a
// Constraint that denies nothing.
func TestWhatDeniesLessThanItSeems(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	failurePolicy := func(policy string) {
		u := api.object(mutating, "imagegate-mutator")
		hooks, _, _ := unstructured.NestedSlice(u.Object, "webhooks")
		hooks[0].(map[string]any)["failurePolicy"] = policy
		_ = unstructured.SetNestedSlice(u.Object, hooks, "webhooks")
	}
	failurePolicy("Ignore")
	i.write(strict + "enforcementAction: dryrun\n")
	s := i.rounds(6)
	i.fine(s)
	i.has(s, finding.MutatorFailsOpen, "--set webhook.failurePolicy=Fail")
	i.has(s, finding.ConstraintDeniesNothing, "ImageScanPolicy imagegate has enforcementAction dryrun")
	i.write(strict + `match: {kinds: [{apiGroups: [apps], kinds: [Deployment]}]}` + "\n")
	i.has(i.rounds(2), finding.ConstraintMatchesNoPods, `ImageScanPolicy imagegate matches no Pods: write its match.kinds as [{apiGroups: [""], kinds: [Pod]}]`)
	failurePolicy("Fail")
	i.write(strict)
	if s := i.rounds(2); len(s.Warnings) > 0 {
		t.Errorf("warnings %v", s.Warnings)
	}
}

// eventually waits for Events, which are sent beside.
func eventually(t *testing.T, i *installation, reasons ...string) {
	t.Helper()
	var said []string
	for range 100 {
		l, err := i.core.CoreV1().Events(i.o.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		said = nil
		for _, e := range l.Items {
			said = append(said, e.Reason)
			if e.InvolvedObject.Name != "imagegate-state" {
				t.Errorf("an Event about %s", e.InvolvedObject.Name)
			}
		}
		if !slices.ContainsFunc(reasons, func(r string) bool { return !slices.Contains(said, r) }) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("Events %v lack some of %v", said, reasons)
}

// TestGatekeepersCAIsFollowed replaces it, empties it, and takes the other
// configuration where the first is off.
func TestGatekeepersCAIsFollowed(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	cas := [][]byte{authority(t).CACert, authority(t).CACert, authority(t).CACert}
	i.write(strict)
	has := func(want ...int) {
		t.Helper()
		files, err := i.served.files()
		if err != nil {
			t.Fatal(err)
		}
		for n, ca := range cas {
			if strings.Contains(string(files[ClientCAFile]), string(ca)) != slices.Contains(want, n) {
				t.Errorf("CA %d: want %v", n, want)
			}
		}
	}
	i.gatekeeperComes(cas[0], "Fail", 5)
	i.fine(i.rounds(6))
	has(0)
	i.gatekeeperComes(cas[1], "Fail", 5)
	i.fine(i.rounds(2))
	has(0, 1)
	i.gatekeeperComes(nil, "Fail", 5) // a helm upgrade of Gatekeeper, until it has filled it in again
	i.fine(i.rounds(2))
	has(0, 1)
	delete(api.objects, settledKey{validating, "gatekeeper-vwc"})
	api.put(mutating, map[string]any{"metadata": map[string]any{"name": "gatekeeper-mwc"}, "webhooks": []any{
		map[string]any{"name": "mutation.gatekeeper.sh", "clientConfig": map[string]any{"caBundle": base64.StdEncoding.EncodeToString(cas[2])}},
	}})
	i.fine(i.rounds(2))
	has(1, 2)

	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, cas[0], 0o600); err != nil {
		t.Fatal(err)
	}
	api = newAPIServer(t)
	i = newInstallation(t, api, func(o *Options) { o.Gatekeeper.CAFile = file })
	i.write(strict)
	i.gatekeeperComes(cas[1], "Fail", 5)
	i.fine(i.rounds(6))
	has(0)
}

// TestGatekeepersCAIsFollowedByEachReplica while nothing can be written: Gatekeeper's
// webhook, whose CA is being replaced, is called for the state and the Lease too, and
// fails closed.
func TestGatekeepersCAIsFollowedByEachReplica(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	before, after := authority(t).CACert, authority(t).CACert
	i.write(strict)
	i.gatekeeperComes(before, "Fail", 5)
	i.fine(i.rounds(6))
	i.core.PrependReactor("update", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(errors.New(`failed calling webhook "validation.gatekeeper.sh"`))
	})
	i.gatekeeperComes(after, "Fail", 5)
	count := func() {
		t.Helper()
		files, err := i.served.files()
		if err != nil {
			t.Fatal(err)
		}
		for name, ca := range map[string][]byte{"before": before, "after": after} {
			if !bytes.Contains(files[ClientCAFile], ca) {
				t.Errorf("the CA %s does not count", name)
			}
		}
	}
	for range 2 {
		if _, err := i.lookOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		count()
	}
	// What cannot be read takes nothing away, and is looked for again soon.
	api.refuse = func(action string, r schema.GroupVersionResource, _ string) error {
		if action == "get" && r == validating {
			return errors.New("etcd is away")
		}
		return nil
	}
	again, err := i.lookOnce(t.Context())
	if err != nil || again > unfinished {
		t.Errorf("again in %s, %v", again, err)
	}
	count()
}

// TestCertificatesOutlastRestarts replaces a CA with the process ending in the
// middle, the state deleted, and the Secret deleted.
func TestCertificatesOutlastRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPIServer(t)
		i := newInstallation(t, api, nil)
		i.gatekeeperComes(authority(t).CACert, "Fail", 5)
		i.write(strict)
		i.fine(i.rounds(6))
		cert := func() string {
			files, err := i.served.files()
			if err != nil {
				t.Fatal(err)
			}
			return string(files[CertFile])
		}
		bundle := func() string {
			s, _, _ := unstructured.NestedString(api.object(providers, "imagegate-provider").Object, "spec", "caBundle")
			b, _ := base64.StdEncoding.DecodeString(s)
			return string(b)
		}
		authorities := func() int { return strings.Count(bundle(), "BEGIN") }
		secrets := i.core.CoreV1().Secrets(i.o.Namespace)

		// The Secret is deleted: a new CA, published beside the old one, and served
		// only after that.
		before := cert()
		if err := secrets.Delete(t.Context(), "imagegate-tls", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		i.rounds(3)
		if cert() != before || authorities() != 2 {
			t.Fatalf("served at once: %t; %d authorities", cert() != before, authorities())
		}
		// The state is deleted, and all processes end.
		if err := i.core.CoreV1().ConfigMaps(i.o.Namespace).Delete(t.Context(), "imagegate-state", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		clear(i.settled)
		i.rounds(2)
		if authorities() != 2 || cert() != before {
			t.Fatalf("%d authorities after the state was lost", authorities())
		}
		time.Sleep(i.plan.Propagation)
		i.rounds(2)
		if cert() == before {
			t.Fatal("the new certificate is not served")
		}
		time.Sleep(i.plan.Overlap)
		i.rounds(3)
		if authorities() != 1 {
			t.Errorf("%d authorities after the overlap", authorities())
		}
		i.tell.close()
		synctest.Wait()
	})
}

// TestGivenSecret is somebody else's: it is never written.
func TestGivenSecret(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, func(o *Options) { o.Certificates.Source = SourceSecret })
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	i.write(strict)
	i.has(i.rounds(2), finding.CertificateMissing, "Secret imagegate-system/imagegate-tls (install.certificates.secret) does not exist")
	if i.Withheld() != nil || len(i.Status().Problems) == 0 {
		t.Errorf("%v", i.Status())
	}
	m := authority(t)
	put := func(data map[string][]byte) {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "imagegate-tls", Namespace: i.o.Namespace}, Data: data}
		api := i.core.CoreV1().Secrets(i.o.Namespace)
		if _, err := api.Update(t.Context(), s, metav1.UpdateOptions{}); err == nil {
			return
		}
		if _, err := api.Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(map[string][]byte{CertFile: m.Leaf.Cert, KeyFile: m.Leaf.Key})
	i.has(i.rounds(2), finding.CertificateMissing, "has no ca.crt")
	put(map[string][]byte{CertFile: m.Leaf.Cert, KeyFile: m.Leaf.Key, CAFile: m.CACert})
	i.fine(i.rounds(6))
	for _, a := range i.core.Actions() {
		if a.GetResource().Resource == "secrets" && a.GetVerb() != "get" && a.GetVerb() != "update" && a.GetVerb() != "create" {
			t.Errorf("%v", a)
		}
	}
	s, err := i.core.CoreV1().Secrets(i.o.Namespace).Get(t.Context(), "imagegate-tls", metav1.GetOptions{})
	if err != nil || len(s.Data) != 3 || len(s.Labels) != 0 {
		t.Errorf("%v %v", s, err)
	}
}

// TestFurtherObjects go with the policies.
func TestFurtherObjects(t *testing.T) {
	api := newAPIServer(t)
	i := newInstallation(t, api, nil)
	i.gatekeeperComes(authority(t).CACert, "Fail", 5)
	const more = strict + `
objects:
- {apiVersion: expansion.gatekeeper.sh/v1beta1, kind: ExpansionTemplate, metadata: {name: deployments}, spec: {templateSource: spec.template}}
- {apiVersion: constraints.gatekeeper.sh/v1beta1, kind: ImageDigestRequired, metadata: {name: pinned}, spec: {enforcementAction: warn}}
`
	i.write(more)
	i.fine(i.rounds(6))
	names := api.names()
	if !names["expansiontemplate/deployments"] || !names["imagedigestrequired/pinned"] {
		t.Fatalf("installed %v", names)
	}
	// Somebody else's of the same kind stay.
	api.put(policy.Constraint("ImageDigestRequired").GVR(), map[string]any{"metadata": map[string]any{"name": "theirs"}})
	i.write(strict)
	i.fine(i.rounds(2))
	if names := api.names(); names["expansiontemplate/deployments"] || names["imagedigestrequired/pinned"] || api.object(policy.Constraint("ImageDigestRequired").GVR(), "theirs") == nil {
		t.Errorf("after the policies have them no more: %v", names)
	}
}

func TestContextEndsARound(t *testing.T) {
	i := newInstallation(t, newAPIServer(t), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if again, err := i.roundOnce(ctx, i.tell); again != 0 || err != nil {
		t.Errorf("%s, %v", again, err)
	}
	if i.tell.any {
		t.Error("told what an ended round saw")
	}
}
