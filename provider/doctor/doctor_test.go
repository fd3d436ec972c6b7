package doctor

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/trust"
)

func options() Options {
	return Options{Now: now, Limits: Limits{Database: 120 * time.Hour, Certificate: 72 * time.Hour}}
}

func diagnose(t *testing.T, c cluster, o Options) []finding.Finding {
	t.Helper()
	d, err := look(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return d.Findings
}

// TestNothingIsWrongWithTheRightOne is what all others are held against.
func TestNothingIsWrongWithTheRightOne(t *testing.T) {
	for _, f := range diagnose(t, right(t), options()) {
		t.Errorf("%+v", f)
	}
}

const (
	vwc         = "gatekeeper-validating-webhook-configuration"
	matchLabels = "matchLabels"
)

// says changes the state.
func (o *objects) says(change func(*install.Status)) {
	o.t.Helper()
	o.change("ConfigMap", "gate-imagegate-state", func(u *unstructured.Unstructured) {
		text, _, _ := unstructured.NestedString(u.Object, "data", "state.json")
		var s install.State
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			o.t.Fatal(err)
		}
		change(&s.Status)
		b, err := json.Marshal(s)
		if err != nil {
			o.t.Fatal(err)
		}
		_ = unstructured.SetNestedField(u.Object, string(b), "data", "state.json")
	})
}

// TestEachFaultIsOneFinding breaks one thing at a time.
func TestEachFaultIsOneFinding(t *testing.T) {
	for name, c := range map[string]struct {
		breaks   func(*objects)
		id       finding.ID
		severity finding.Severity
		// says is in the sentence, command in the command.
		says, command string
	}{
		"Gatekeeper is not there": {func(o *objects) {
			for _, g := range []string{"externaldata", "templates", "constraints", "config"} {
				o.gone[g+".gatekeeper.sh"] = true
			}
			o.remove("ValidatingWebhookConfiguration", vwc)
			o.says(func(s *install.Status) {
				s.Enforcing, s.Problems = false, []install.Problem{{Reason: finding.GatekeeperMissing}, {Reason: finding.GatekeeperCAUnknown}}
			})
		}, finding.GatekeeperMissing, finding.Error, "no Pod is judged", "helm install gatekeeper"},
		"its webhook is not there": {func(o *objects) { o.remove("ValidatingWebhookConfiguration", vwc) }, finding.GatekeeperMissing, finding.Error, "gatekeeper.validatingWebhook", "disableValidatingWebhook=false"},
		"it fails open": {func(o *objects) {
			o.set("ValidatingWebhookConfiguration", vwc, "Ignore", "webhooks", 0, "failurePolicy")
			o.says(func(s *install.Status) { s.Warnings = []install.Problem{{Reason: finding.GatekeeperFailsOpen}} })
		}, finding.GatekeeperFailsOpen, finding.Error, "admitted without a look", "-n gatekeeper-system --reuse-values --set validatingWebhookFailurePolicy=Fail"},
		"it is not waited for": {func(o *objects) {
			o.set("ValidatingWebhookConfiguration", vwc, int64(2), "webhooks", 0, "timeoutSeconds")
		}, finding.GatekeeperShortTimeout, finding.Error, "never answered", "validatingWebhookTimeoutSeconds=5"},
		"it does not see ephemeral containers": {func(o *objects) {
			o.set("ValidatingWebhookConfiguration", vwc, []any{"*"}, "webhooks", 0, "rules", 0, "resources")
		}, finding.GatekeeperSkipsPods, finding.Error, "not called for UPDATE of pods/ephemeralcontainers", "helm upgrade gatekeeper"},
		"it sees CREATE only": {func(o *objects) {
			o.set("ValidatingWebhookConfiguration", vwc, []any{"CREATE"}, "webhooks", 0, "rules", 0, "operations")
		}, finding.GatekeeperSkipsPods, finding.Error, "UPDATE of pods, UPDATE of pods/ephemeralcontainers", "helm upgrade gatekeeper"},
		"a Pod's author may leave": {func(o *objects) {
			o.set("ValidatingWebhookConfiguration", vwc, map[string]any{matchLabels: map[string]any{"scan": "yes"}}, "webhooks", 0, "objectSelector")
		}, finding.GatekeeperSkipsPods, finding.Warning, "its objectSelector scan=yes", "helm upgrade gatekeeper"},
		"a namespace is labelled": {func(o *objects) {
			o.set("Namespace", "shop", "yes", "metadata", "labels", "admission.gatekeeper.sh/ignore")
		}, finding.GatekeeperSkipsNamespaces, finding.Error, "not called for Pods in shop", "kubectl label namespace shop admission.gatekeeper.sh/ignore-"},
		"a namespace is excluded": {func(o *objects) {
			o.set("Config", "config", []any{"ba*"}, "spec", "match", 0, "excludedNamespaces")
		}, finding.GatekeeperSkipsNamespaces, finding.Error, "judges no Pod in bank", "edit configs.config.gatekeeper.sh config"},
		"it asks nobody": {func(o *objects) {
			o.set("Pod", "gatekeeper-controller-manager-0", []any{"--operation=webhook", "--enable-external-data=false"}, "spec", "containers", 0, "args")
		}, finding.GatekeeperNoExternalData, finding.Error, "asks no provider", "enableExternalData=true"},
		"it reuses answers": {func(o *objects) {
			o.set("Pod", "gatekeeper-controller-manager-0", []any{"--operation=webhook", "--external-data-provider-response-cache-ttl=24h"}, "spec", "containers", 0, "args")
		}, finding.GatekeeperAnswersKept, finding.Warning, "for 24h", "externaldataProviderResponseCacheTTL=3m"},
		"none of it is ready": {func(o *objects) {
			o.set("Pod", "gatekeeper-controller-manager-0", []any{}, "status", "conditions")
		}, finding.GatekeeperNotReady, finding.Error, "every Pod is denied", "describe pods"},
		"it failed open": {func(o *objects) {
			o.paths["/metrics"] = "apiserver_admission_webhook_fail_open_count{name=\"validation.gatekeeper.sh\",type=\"validating\"} 3\n"
		}, finding.WebhookFailedOpen, finding.Warning, "let 3 requests through", "get --raw /metrics"},

		"the mutator's webhook is not there": {func(o *objects) { o.remove("MutatingWebhookConfiguration", "gate-imagegate") }, finding.WebhookNotPatched, finding.Error, "does not exist", "helm upgrade gate oci://ghcr.io/imagegate/charts/imagegate -n imagegate-system --version 1.2.3"},
		"it has no caBundle": {func(o *objects) {
			o.set("MutatingWebhookConfiguration", "gate-imagegate", "", "webhooks", 0, "clientConfig", "caBundle")
		}, finding.WebhookNotPatched, finding.Error, "lacks the CA imagegate-ca", "delete lease gate-imagegate-install"},
		"the mutator fails open": {func(o *objects) {
			o.set("MutatingWebhookConfiguration", "gate-imagegate", "Ignore", "webhooks", 0, "failurePolicy")
		}, finding.MutatorFailsOpen, finding.Error, "failurePolicy Ignore", "webhook.failurePolicy=Fail"},
		"the mutator is not waited for": {func(o *objects) {
			o.set("MutatingWebhookConfiguration", "gate-imagegate", int64(10), "webhooks", 0, "timeoutSeconds")
		}, finding.MutatorShortTimeout, finding.Error, "may take 10s", "webhook.timeoutSeconds=15"},
		"the mutator sees CREATE only": {func(o *objects) {
			o.set("MutatingWebhookConfiguration", "gate-imagegate", []any{"CREATE"}, "webhooks", 0, "rules", 0, "operations")
		}, finding.MutatorSkipsPods, finding.Error, "are not pinned", "helm upgrade gate"},
		"the mutator leaves a namespace out": {func(o *objects) {
			o.set("MutatingWebhookConfiguration", "gate-imagegate", []any{"shop", "cni", "kube-system", namespace, "gatekeeper-system"}, "webhooks", 0, "namespaceSelector", "matchExpressions", 0, "values")
		}, finding.MutatorSkipsNamespaces, finding.Error, "pinned in shop", "helm upgrade gate"},
		"another writes images after the mutator": {func(o *objects) {
			o.set("MutatingWebhookConfiguration", "gate-imagegate", "Never", "webhooks", 0, "reinvocationPolicy")
		}, finding.MutatorOverruled, finding.Warning, "sidecar-injector changes Pods after it", `"/webhooks/0/reinvocationPolicy","value":"IfNeeded"`},

		"the Provider object is not there":  {func(o *objects) { o.remove("Provider", "imagegate-provider") }, finding.ProviderObjectMissing, finding.Error, "denies every Pod", "delete lease"},
		"the Provider object is another's":  {func(o *objects) { o.set("Provider", "imagegate-provider", "https://other.svc/", "spec", "url") }, finding.ProviderObjectDiffers, finding.Error, "has the url https://other.svc/", "delete lease"},
		"the Provider object has an old CA": {func(o *objects) { o.set("Provider", "imagegate-provider", "", "spec", "caBundle") }, finding.ProviderObjectDiffers, finding.Error, "does not believe its answers", "delete lease"},
		"Gatekeeper cannot use the Provider object": {func(o *objects) {
			o.set("Provider", "imagegate-provider", map[string]any{"byPod": []any{map[string]any{"id": "gatekeeper-audit-0", "errors": []any{map[string]any{"message": "no CA"}}}}}, "status")
		}, finding.ProviderObjectRefused, finding.Error, "gatekeeper-audit-0 cannot use Provider imagegate-provider: no CA", "kubectl describe"},
		"the provider is not waited for": {func(o *objects) { o.set("Provider", "imagegate-provider", int64(0), "spec", "timeout") }, finding.ProviderShortTimeout, finding.Error, "may take 800ms", "provider.timeoutSeconds=2"},
		"the provider is not ready":      {func(o *objects) { o.set("Pod", "gate-imagegate-0", []any{}, "status", "conditions") }, finding.ProviderNotReady, finding.Error, "no replica of the provider is ready", "describe pods"},
		"the provider has no Pod":        {func(o *objects) { o.remove("Pod", "gate-imagegate-0") }, finding.ProviderNotReady, finding.Error, "has no Pod", "get deployments,statefulsets"},
		"a part does not work":           {func(o *objects) { o.paths[proxy+"/readyz"] = "ready\nscanner: no scan worker is running\n" }, finding.PartNotReady, finding.Warning, "no scan worker is running", "logs gate-imagegate-0"},
		"the database is old": {func(o *objects) {
			o.paths[proxy+"/metrics"] = "imagegate_scanner_database_built_timestamp_seconds{scanner=\"bundled\"} 1.7e+09\n"
		}, finding.DatabaseOld, finding.Warning, "scanner bundled is of 2023-11-14", "logs gate-imagegate-0"},
		"a certificate ends": {func(o *objects) {
			o.paths[proxy+"/metrics"] += "imagegate_tls_expiry_timestamp_seconds{part=\"CA bundle\",side=\"client\"} 1795800000\n"
		}, finding.CertificateExpires, finding.Warning, "the client CA bundle of Pod gate-imagegate-0 ends at 2026-11-2", "get events"},
		"nobody installs": {func(o *objects) {
			o.set("Lease", "gate-imagegate-install", "2026-11-27T11:00:00.000000Z", "spec", "renewTime")
		}, finding.InstallerMissing, finding.Error, "since 2026-11-27T11:00:00Z", "logs"},
		"nobody ever installed": {func(o *objects) { o.remove("Lease", "gate-imagegate-install") }, finding.InstallerMissing, finding.Error, "never was one", "logs"},
		"the rules do not compile": {func(o *objects) {
			o.says(func(s *install.Status) {
				s.Problems = []install.Problem{{Reason: finding.RulesDoNotCompile, Message: "customRules:2"}}
			})
		}, finding.RulesDoNotCompile, finding.Error, "customRules:2", "get events"},

		"there is no Constraint":    {func(o *objects) { o.remove("ImageScanPolicy", "imagegate") }, finding.ConstraintMissing, finding.Error, "no Pod is judged by its images", "helm upgrade gate"},
		"the Constraint only warns": {func(o *objects) { o.set("ImageScanPolicy", "imagegate", "warn", "spec", "enforcementAction") }, finding.ConstraintDeniesNothing, finding.Error, "lets it in", "policies.enforcementAction=deny"},
		"the Constraint is about Deployments": {func(o *objects) {
			o.set("ImageScanPolicy", "imagegate", []any{map[string]any{"apiGroups": []any{"apps"}, "kinds": []any{"Deployment"}}}, "spec", "match", "kinds")
		}, finding.ConstraintMatchesNoPods, finding.Error, "matches no Pods", ""},
		"the Constraint leaves a namespace out": {func(o *objects) {
			o.set("ImageScanPolicy", "imagegate", []any{"shop", "cni", "kube-system", namespace, "gatekeeper-system"}, "spec", "match", "excludedNamespaces")
		}, finding.ConstraintSkipsNamespaces, finding.Warning, "Pod in shop", "kubectl get constraints"},
		"the Constraint leaves all namespaces out": {func(o *objects) {
			o.set("ImageScanPolicy", "imagegate", map[string]any{matchLabels: map[string]any{"none": "such"}}, "spec", "match", "namespaceSelector")
		}, finding.ConstraintSkipsNamespaces, finding.Error, "Pod in bank, shop", "kubectl get constraints"},
		"Gatekeeper does not enforce the Constraint": {func(o *objects) { o.set("ImageScanPolicy", "imagegate", false, "status", "byPod", 1, "enforced") }, finding.ConstraintNotEnforced, finding.Error, "gatekeeper-controller-manager-0 does not enforce", "kubectl describe"},
		"Gatekeeper refuses the template": {func(o *objects) {
			o.set("ConstraintTemplate", "imagescanpolicy", []any{map[string]any{"message": "rego_type_error"}}, "status", "byPod", 0, "errors")
		}, finding.TemplateRefused, finding.Error, "rego_type_error", "kubectl describe constrainttemplate imagescanpolicy"},
		"Gatekeeper has not taken the template in": {func(o *objects) { o.set("ConstraintTemplate", "imagescanpolicy", []any{}, "status", "byPod") }, finding.TemplateNotTakenIn, finding.Error, "judge nothing", "kubectl describe"},
	} {
		t.Run(name, func(t *testing.T) {
			o := right(t)
			c.breaks(o)
			found := diagnose(t, o, options())
			if len(found) != 1 {
				t.Fatalf("%d findings: %+v", len(found), found)
			}
			f := found[0]
			if f.ID != c.id || f.Severity != c.severity || !strings.Contains(f.Message, c.says) || !strings.Contains(f.Command, c.command) || f.Object == "" || f.Command == "" {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestWhatMayNotBeReadIsSaid forbids one resource at a time.
func TestWhatMayNotBeReadIsSaid(t *testing.T) {
	for resource, c := range map[string]struct {
		right string
		n     int
	}{
		"namespaces":                      {"list namespaces", 1},
		"pods":                            {"list pods in imagegate-system", 2}, // Gatekeeper's too
		"leases":                          {"get leases.coordination.k8s.io", 1},
		"validatingwebhookconfigurations": {"get validatingwebhookconfigurations.admissionregistration.k8s.io", 1},
		"mutatingwebhookconfigurations":   {"list mutatingwebhookconfigurations.admissionregistration.k8s.io", 2},
		"configs":                         {"get configs.config.gatekeeper.sh", 1},
		"providers":                       {"list providers.externaldata.gatekeeper.sh", 1},
		"constrainttemplates":             {"list constrainttemplates.templates.gatekeeper.sh", 1},
		"imagescanpolicy":                 {"list imagescanpolicy.constraints.gatekeeper.sh", 1},
	} {
		t.Run(resource, func(t *testing.T) {
			o := right(t)
			o.forbidden[resource] = true
			found := diagnose(t, o, options())
			if len(found) != c.n || !slices.ContainsFunc(found, func(f finding.Finding) bool { return strings.Contains(f.Message, "(rights: "+c.right+")") }) {
				t.Errorf("%+v", found)
			}
			for _, f := range found {
				if f.ID != finding.CouldNotLook || f.Severity != finding.Unknown {
					t.Errorf("%+v", f)
				}
			}
		})
	}
	for path, right := range map[string]string{"/metrics": "get of the path /metrics", proxy + "/readyz": "get pods/proxy in imagegate-system", proxy + "/metrics": "get pods/proxy"} {
		o := without(t, path)
		found := diagnose(t, o, options())
		if len(found) != 1 || found[0].ID != finding.CouldNotLook || !strings.Contains(found[0].Message, right) {
			t.Errorf("%s: %+v", path, found)
		}
	}
	o := right(t)
	o.forbidden["configmaps"] = true
	if _, err := look(t.Context(), o, options()); err == nil || !strings.Contains(err.Error(), "looking for the installation") {
		t.Errorf("%v", err)
	}
}

func without(t *testing.T, path string) *objects {
	t.Helper()
	o := right(t)
	delete(o.paths, path)
	return o
}

// TestWhatNobodyTellsIsSaid has a release that says less of itself.
func TestWhatNobodyTellsIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(*objects)
		says   string
	}{
		"no age of the data": {func(o *objects) { o.paths[proxy+"/metrics"] = "" }, "no replica says how old it is"},
		"nobody installs": {func(o *objects) {
			o.change("ConfigMap", "gate-imagegate-provider", func(u *unstructured.Unstructured) {
				text, _, _ := unstructured.NestedString(u.Object, "data", "config.yaml")
				_ = unstructured.SetNestedField(u.Object, strings.Replace(text, "enabled: true", "enabled: false", 1), "data", "config.yaml")
			})
			o.remove("Lease", "gate-imagegate-install")
		}, "install.enabled is off"},
		"no configuration of the mutator": {func(o *objects) { o.remove("ConfigMap", "gate-imagegate-mutator") }, "there is no ConfigMap of it"},
		"no port to ask":                  {func(o *objects) { o.set("Pod", "gate-imagegate-0", []any{}, "spec", "containers", 0, "ports") }, "no port named probes"},
		"metrics of another form": {func(o *objects) {
			o.paths["/metrics"] = "apiserver_admission_webhook_fail_open_count{name=\"a\"} many\n"
		}, "reading metrics"},
		"a state of another form": {func(o *objects) { o.set("ConfigMap", "gate-imagegate-state", "{", "data", "state.json") }, "reading the state"},
	} {
		o := right(t)
		c.breaks(o)
		opts := options()
		opts.Exempt = []string{"cni"} // without policies nothing says so
		if found := diagnose(t, o, opts); len(found) != 1 || found[0].ID != finding.CouldNotLook || !strings.Contains(found[0].Message, c.says) {
			t.Errorf("%s: %+v", name, found)
		}
	}
	o := right(t)
	o.paths[proxy+"/metrics"] = ""
	o.change("ConfigMap", "gate-imagegate-provider", func(u *unstructured.Unstructured) {
		text, _, _ := unstructured.NestedString(u.Object, "data", "config.yaml")
		_ = unstructured.SetNestedField(u.Object, text+"scanner: {harbor: {url: \"https://adapter\"}}\n", "data", "config.yaml")
	})
	if found := diagnose(t, o, options()); len(found) > 0 {
		t.Errorf("an adapter that does not tell: %+v", found)
	}
}

// TestExemptNamespacesAreMeant has one that Gatekeeper does not judge be so on purpose.
func TestExemptNamespacesAreMeant(t *testing.T) {
	o := right(t)
	o.set("Config", "config", []any{"ba*"}, "spec", "match", 0, "excludedNamespaces")
	opts := options()
	opts.Exempt = []string{"ban*"}
	if found := diagnose(t, o, opts); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

// TestWhatTheChartExemptsIsMeant has the policies be the chart's own objects, which say
// nowhere else what is exempt.
func TestWhatTheChartExemptsIsMeant(t *testing.T) {
	chart := func() *objects {
		o := right(t)
		o.remove("ConfigMap", "gate-imagegate-policies")
		o.change("ConfigMap", "gate-imagegate-provider", func(u *unstructured.Unstructured) {
			text, _, _ := unstructured.NestedString(u.Object, "data", "config.yaml")
			_ = unstructured.SetNestedField(u.Object, strings.Replace(text, "mode: process", "mode: chart", 1), "data", "config.yaml")
		})
		return o
	}
	if found := diagnose(t, chart(), options()); len(found) > 0 {
		t.Errorf("%+v", found)
	}
	// What one of the two leaves out is not.
	o := chart()
	o.set("ImageScanPolicy", "imagegate", []any{"kube-system", namespace, "gatekeeper-system"}, "spec", "match", "excludedNamespaces")
	o.set("Config", "config", []any{}, "spec", "match")
	if found := diagnose(t, o, options()); len(found) != 1 || found[0].ID != finding.MutatorSkipsNamespaces || !strings.Contains(found[0].Message, "pinned in cni") {
		t.Errorf("%+v", found)
	}
}

// TestANextCAThatIsNotPublished signs nothing, and is missed by nobody.
func TestANextCAThatIsNotPublished(t *testing.T) {
	o := right(t)
	next, _, err := trust.Issuer{Names: []string{"localhost"}, CAValidity: caLife, LeafValidity: caLife}.Step(trust.Plan{}, trust.Material{}, trust.Record{}, now())
	if err != nil {
		t.Fatal(err)
	}
	add := func(published time.Time) {
		o.change("ConfigMap", "gate-imagegate-state", func(u *unstructured.Unstructured) {
			text, _, _ := unstructured.NestedString(u.Object, "data", "state.json")
			var s install.State
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				t.Fatal(err)
			}
			s.Ours.Authorities = append([]trust.Authority{{PEM: string(next.CACert), Published: published}}, s.Ours.Authorities...)
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			_ = unstructured.SetNestedField(u.Object, string(b), "data", "state.json")
		})
	}
	add(time.Time{})
	if found := diagnose(t, o, options()); len(found) > 0 {
		t.Errorf("%+v", found)
	}
	add(now())
	if found := diagnose(t, o, options()); len(found) != 2 {
		t.Errorf("a published CA that neither has: %+v", found)
	}
}

// TestCAsThatEnd moves the clock to the end of the CA's life.
func TestCAsThatEnd(t *testing.T) {
	o := right(t)
	opts := options()
	for left, severity := range map[time.Duration]finding.Severity{48 * time.Hour: finding.Warning, -time.Hour: finding.Error} {
		opts.Now = func() time.Time { return now().Add(caLife - left) }
		if found := diagnose(t, o, opts); !slices.ContainsFunc(found, func(f finding.Finding) bool {
			return f.ID == finding.CertificateExpires && f.Object == "Provider imagegate-provider" && f.Severity == severity
		}) {
			t.Errorf("%s left: %+v", left, found)
		}
	}
}

// TestTheInstallationIsFound among none and many.
func TestTheInstallationIsFound(t *testing.T) {
	o := right(t)
	opts := options()
	opts.Namespace = "shop"
	if _, err := look(t.Context(), o, opts); err == nil || !strings.Contains(err.Error(), "no installation of imagegate in namespace shop") {
		t.Errorf("%v", err)
	}
	o.change("ConfigMap", "gate-imagegate-provider", func(u *unstructured.Unstructured) {
		other := u.DeepCopy()
		other.SetNamespace("shop")
		set := other.GetLabels()
		set[instance] = "second"
		other.SetLabels(set)
		o.all = append(o.all, *other)
	})
	opts.Namespace = ""
	if _, err := look(t.Context(), o, opts); err == nil || !strings.Contains(err.Error(), "--namespace shop --release second") {
		t.Errorf("%v", err)
	}
	opts.Release = "gate"
	if found := diagnose(t, o, opts); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

// TestPrinting holds the table and the JSON to what people and scripts read.
func TestPrinting(t *testing.T) {
	o := right(t)
	o.set("ValidatingWebhookConfiguration", vwc, "Ignore", "webhooks", 0, "failurePolicy")
	d, err := look(t.Context(), o, options())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := d.Table(&b); err != nil {
		t.Fatal(err)
	}
	const want = `SEVERITY  FINDING                OBJECT
error     gatekeeper_fails_open  ValidatingWebhookConfiguration gatekeeper-validating-webhook-configuration
          Gatekeeper's webhook validation.gatekeeper.sh has failurePolicy Ignore: whatever it does not answer in time is admitted without a look
          $ helm upgrade gatekeeper gatekeeper/gatekeeper -n gatekeeper-system --reuse-values --set validatingWebhookFailurePolicy=Fail
release gate in imagegate-system: 1 error, 0 warnings, 0 not looked at
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := d.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Release, Namespace string
		Findings           []map[string]string
	}
	if err := json.Unmarshal(b.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if read.Release != "gate" || read.Namespace != namespace || len(read.Findings) != 1 || read.Findings[0]["id"] != "gatekeeper_fails_open" || read.Findings[0]["severity"] != "error" {
		t.Errorf("%+v", read)
	}
}
