package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/charts/doc"
	"github.com/imagegate/imagegate/charts/render"
)

func generated(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := doc.Generate("../..")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func documented(t *testing.T) []*doc.Value {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	values, err := doc.Values(text)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// render34 renders with both, which have to agree about errors too.
func render34(t *testing.T, values string) (*render.Rendered, error) {
	t.Helper()
	r, err4 := charts(t).Helm4(parse(t, values), release)
	_, err3 := charts(t).Helm3(parse(t, values), release)
	if (err3 == nil) != (err4 == nil) {
		t.Errorf("%s: Helm 3 says %v, Helm 4 %v", values, err3, err4)
	}
	return r, err4
}

func TestWrongValuesAreRefusedWithTheirPath(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ values, want string }{
		{"replicas: 3", `'replicas'`},
		{"scanRules: {alwaysaccept: []}", "/scanRules"},
		{"scanRules: {defaultPolicy: scan}", "/scanRules/defaultPolicy"},
		{"scanRules: {byNamespace: {prod: {reportPending: wait}}}", "/scanRules/byNamespace/prod/reportPending"},
		{"scanRules: {byNamespace: {prod: {autoGenerate: false}}}", "/scanRules/byNamespace/prod"},
		{"preScanPolicies: {defaultPolicy: scan-result}", "/preScanPolicies/defaultPolicy"},
		{"scanPolicies: {customPolicies: [{prefix: a}]}", "/scanPolicies/customPolicies/0"},
		{"scanPolicies: {customPolicies: [{prefix: a, action: scan}]}", "/scanPolicies/customPolicies/0/action"},
		{"replicaCount: two", "/replicaCount"},
		{"replicaCount: 0", "/replicaCount"},
		{"webhook: {failurePolicy: IgnoreOnInstallOnly}", "/webhook/failurePolicy"},
		{"webhook: {timeoutSeconds: 31}", "/webhook/timeoutSeconds"},
		{"webhook: {caBundle: x}", "/webhook"},
		{"mutator: {wait: {duration: 10}}", "/mutator/wait/duration"},
		{"mutator: {wait: {duration: 10 s}}", "/mutator/wait/duration"},
		{"mutator: {workloads: [Pod]}", "/mutator/workloads/0"},
		{"policies: {parameters: {scanRules: {}}}", "/policies/parameters"},
		{"policies: {enforcementAction: block}", "/policies/enforcementAction"},
		{"exemptNamespaces: ['kube-*']", "/exemptNamespaces/0"},
		{"exceptions: [{cve: CVE-1, images: [a], reason: x}]", "/exceptions/0"},
		{"scanRules: {alwaysReject: ['evil.example.com/*']}", "/scanRules/alwaysReject/0"},
		{"scanRules: {byNamespace: {'*-dev': {}}}", "/scanRules/byNamespace"},
		{"scanPolicies: {byNamespace: {dev: {customPolicies: [{prefix: 'https://a.io/', action: reject}]}}}", "/scanPolicies/byNamespace/dev/customPolicies/0/prefix"},
		{"exceptions: [{cve: 'CVE-2021-*', images: [a], expires: '2027-01-01', reason: x}]", "/exceptions/0/cve"},
		{"exceptions: [{cve: CVE-1, images: ['ghcr.io/acme/*'], expires: '2027-01-01', reason: x}]", "/exceptions/0/images/0"},
		{"exceptions: [{cve: CVE-1, images: [a], namespaces: ['*'], expires: '2027-01-01', reason: x}]", "/exceptions/0/namespaces/0"},
		{"mutator: {onUnresolvedByNamespace: {Dev: keep}}", "/mutator/onUnresolvedByNamespace"},
		{"registry: {allowed: ['ghcr.io/*']}", "/registry/allowed/0"},
		{"image: {repository: sysdiglabs/opa-image-scanner}", "/image/repository"},
		{"image: {provider: {digest: latest}}", "/image/provider/digest"},
		{"imagePullSecrets: [{nam: x}]", "/imagePullSecrets/0"},
		{"scanner: {bundled: {disk: 500Mi}}", "/scanner/bundled/disk"},
		{"nats: {url: 'http://nats'}", "/nats/url"},
		{"verdict: {severityThreshold: HIGH}", "/verdict/severityThreshold"},
		{"service: {port: 70000}", "/service/port"},
		{"resources: {request: {}}", "/resources"},
	} {
		_, err := render34(t, tc.values)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.values, err, tc.want)
		}
	}
}

func TestValuesThatDoNotGoTogetherAreRefusedByName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ values, want string }{
		{"scanRules: {alwasyAccept: []}", "scanRules.alwasyAccept: there is no such value. Did you mean alwaysAccept?"},
		{"scanRules: {byNamespace: {prod: {alwasyAccept: [a]}}}", "scanRules.byNamespace.prod.alwasyAccept"},
		{"{scanRules: {defaultPolicy: accept}, scanPolicies: {defaultPolicy: accept}}", "scanRules cannot be given together with scanPolicies"},
		{"namespaceOverride: kube-system", "kube-system"},
		{"sysdigSecureToken: <Sysdig-Secure-Secret-Token>", "sysdigSecureToken: <Sysdig-Secure-Secret-Token> is a placeholder, not a token"},
		{"{sysdigSecureToken: a, sysdigSecureTokenSecret: {name: b}}", "give only one of them"},
		{"{sysdigSecureToken: a, scanner: {harbor: {url: 'http://h'}}}", "sysdigSecureToken, scanner.harbor.url: give one scanner"},
		{"mutator: {wait: {duration: 15s}}", "webhook.timeoutSeconds: 15 must be above mutator.wait.duration, 15s"},
		{"mutator: {wait: {duration: 0.5m}}", "webhook.timeoutSeconds"},
		{"mutator: {resolveTimeout: 20s}", "mutator.resolveTimeout"},
		{"provider: {budget: 2s}", "provider.timeoutSeconds: 2 must be above provider.budget, 2s"},
		{"shutdownDelay: 1m", "terminationGracePeriodSeconds: 60 must be more than five seconds above shutdownDelay"},
		{"{nats: {url: 'nats://n:4222'}, worker: {grace: 2m}}", "worker.grace"},
		{"hostNetwork: true", "webhook.port: 10250 is the kubelet's"},
		{"{hostNetwork: true, webhook: {port: 9443}, view: {enabled: true}}", "view.enabled: with hostNetwork"},
		{"view: {enabled: true, port: 8080}\nservice: {probePort: 8080}", "both are 8080"},
		{"service: {port: 10250}", "service.port and webhook.port: both are 10250"},
		{"replicaCount: 2", "replicaCount: 2: without nats.url"},
		{"replicaCount: 4", "an odd number"},
		{"autoscaling: {enabled: true}", "autoscaling.enabled"},
		{"{nats: {url: 'nats://n:4222'}, autoscaling: {minReplicas: 7}}", "autoscaling.minReplicas is above maxReplicas"},
		{"worker: {autoscaling: {enabled: true}}", "there are no workers without nats.url"},
		{"worker: {autoscaling: {minReplicas: 11}}", "worker.autoscaling.minReplicas is above maxReplicas"},
		{"{nats: {url: 'nats://n:4222'}, worker: {autoscaling: {enabled: true, minReplicas: 0}}}", "KEDA (prometheusAddress)"},
		{"{nats: {url: 'nats://n:4222'}, persistence: {enabled: true}}", "persistence.enabled"},
		{"nats: {tlsSecret: a}", "nats.url must be set"},
		{"nats: {clientCertificate: true}", "nats.tlsSecret has to name the Secret"},
		{"certificates: {mode: certManager}", "certificates.certManager.issuerRef.name"},
		{"certificates: {mode: secret}", "certificates.secretName"},
		{"trustedCA: {configMap: a, secret: b}", "trustedCA.configMap and trustedCA.secret"},
		{"{policies: {manage: chart}, customRules: 'deny_image[\"x\"] { true }'}", "customRules: with policies.manage: chart"},
		{"{policies: {manage: chart}, preCustomRules: 'deny_pod[\"x\"] { true }'}", "preCustomRules: with policies.manage: chart"},
		{"scanner: {bundled: {disk: 3Gi}}", "scanner.bundled.disk: 3Gi is too little"},
		{"scanner: {bundled: {databaseFile: /a, databaseUrl: 'https://a'}}", "scanner.bundled.databaseFile: the database is this file's"},
		{"scanner: {bundled: {databaseFile: /a, database: sample}}", "scanner.bundled.databaseFile: the database is this file's"},
		{"scanner: {bundled: {databaseFile: a}}", "/scanner/bundled/databaseFile"},
		{"vexDocuments: {exceptions.yaml: x}", "vexDocuments"},
		{"config: {server: {listen: ':1'}}", "config.server.listen: the chart sets this itself"},
		{"config: {verdict: {onlyFixed: true}}", "config.verdict.onlyFixed"},
		{"mutator: {config: {pin: {keepTag: true}}}", "mutator.config.pin.keepTag"},
	} {
		_, err := render34(t, tc.values)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.values, err, tc.want)
		}
	}
}

func TestGlobalAndEnabledAreOpenForParentCharts(t *testing.T) {
	t.Parallel()
	for _, values := range []string{"global: {cattle: {clusterId: c}}", "global: {anything: [1]}", "enabled: true", "enabled: null", "global: {imageRegistry: null, imagePullSecrets: null}"} {
		if _, err := render34(t, values); err != nil {
			t.Errorf("%s: %v", values, err)
		}
	}
}

func TestNotesSumUpAndWarn(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, _ string, values map[string]any) {
		notes := rendered(t, values).Notes
		for _, want := range []string{"runs ", "scanner ", "policies ", "pinning ", "exempt      kube-system, kube-node-lease, kube-public, ", "validatingWebhookFailurePolicy=Fail", "helm test gate -n imagegate-system"} {
			if !strings.Contains(notes, want) {
				t.Errorf("the notes do not say %q:\n%s", want, notes)
			}
		}
	})
	for _, tc := range []struct{ values, want string }{
		{"{}", "One replica without a volume"},
		{"persistence: {enabled: true}", "One replica with a volume"},
		{"webhook: {failurePolicy: Ignore}", "webhook.failurePolicy is Ignore"},
		{"mutator: {enabled: false}", "mutator.enabled is false"},
		{"provider: {clientAuth: 'off'}", "provider.clientAuth is off"},
		{"policies: {enforcementAction: warn}", "policies.enforcementAction is warn"},
		{"policies: {manage: none}", "policies.manage is none"},
		{"policies: {manage: chart, constraints: false}", "policies.constraints is false"},
		{"scanRules: {autoGenerate: false}", "no rule judges a report"},
		{"scanPolicies: {autoGenerate: false}", "no rule judges a report"},
		{"scanner: {bundled: {database: sample}}", "the scanner knows almost no vulnerability"},
		{"rbac: {create: false}", "rbac.create is false"},
		{"{sysdigSecureToken: t, sysdigSecureApiUrl: 'http://s'}", "the token can be read on the way"},
		{"{certificates: {mode: secret, secretName: s}}", "localhost"},
	} {
		r, err := render34(t, tc.values)
		if err != nil {
			t.Errorf("%s: %v", tc.values, err)
		} else if !strings.Contains(r.Notes, tc.want) {
			t.Errorf("%s: the notes do not say %q:\n%s", tc.values, tc.want, r.Notes)
		}
	}
	r, err := render34(t, "replicaCount: 3")
	if err != nil || strings.Contains(r.Notes, "Warnings:") {
		t.Errorf("three replicas need no warning: %v\n%s", err, r.Notes)
	}
}

// Whatever is documented has to make a difference, in at least one of the sets: a
// value that nothing reads is worse than none.
func TestEachValueMakesADifference(t *testing.T) {
	t.Parallel()
	all := sets(t)
	names := []string{"default", "cluster", "nats", "platform", "article", "successor", "gitops", "cert-manager", "volume", "keda", "harbor", "anchore", "secret", "openshift", "demo", "elastic"}
	if len(names) != len(all) {
		t.Fatalf("sets: %d, tried %d", len(all), len(names))
	}
	before := map[string]string{}
	out := func(values map[string]any) string {
		r, err := charts(t).Helm4(values, release)
		if err != nil {
			return "error: " + err.Error()
		}
		return r.All() + r.Notes
	}
	for name, values := range all {
		before[name] = out(values)
		if strings.HasPrefix(before[name], "error") {
			t.Fatalf("%s: %s", name, before[name])
		}
	}
	for _, v := range doc.Leaves(documented(t)) {
		if v.Name() == "enabled" {
			continue // of parent charts
		}
		other, ok := different(v)
		if !ok {
			t.Errorf("%s: no other value is known for %v", v.Name(), v.Default)
			continue
		}
		if !slices.ContainsFunc(names, func(name string) bool { return out(with(all[name], v.Path, other)) != before[name] }) {
			t.Errorf("%s: it makes no difference whether it is %v or %v", v.Name(), v.Default, other)
		}
	}
}

// with is a copy of values with one of them set.
func with(values map[string]any, path []string, value any) map[string]any {
	out := map[string]any{}
	for k, v := range values {
		out[k] = v
	}
	if len(path) == 1 {
		out[path[0]] = value
		return out
	}
	below, _ := out[path[0]].(map[string]any)
	out[path[0]] = with(below, path[1:], value)
	return out
}

var looksLikeDuration = regexp.MustCompile(`^[0-9]+(ms|s|m|h)$`)

// different is a valid value that is not the default, nor that of any set.
func different(v *doc.Value) (any, bool) {
	special := map[string]any{
		"global": map[string]any{"imageRegistry": "elsewhere.example.com"}, "sysdigSecureApiUrl": "https://other.example.com", "httpProxy": "http://p:1", "httpsProxy": "http://p:2",
		"nats.url": "nats://other:4222", "scanner.harbor.url": "http://other:1", "scanner.anchore.url": "http://other:2", "scanner.bundled.databaseUrl": "https://other", "scanner.bundled.databaseFile": "/other/db.tar.zst",
		"scanRules": map[string]any{"defaultPolicy": "reject"}, "preScanPolicies": map[string]any{"defaultPolicy": "reject"}, "scanPolicies": map[string]any{"defaultPolicy": "reject"},
		"customRules": `deny_image["other"] { true }`, "preCustomRules": `deny_pod["other"] { true }`,
		"policies.match": map[string]any{"name": "other"}, "policies.parameters": map[string]any{"help": "other"},
		"policies.objects": []any{map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "ImageRegistryAllowed", "metadata": map[string]any{"name": "other"}}},
		"exemptNamespaces": []any{"other"}, "persistence.size": "33Gi", "persistence.accessModes": []any{"ReadWriteOncePod"}, "persistence.fsGroup": 7, "replicaCount": 5,
		"image.repository": "other.example.com/x", "imagePullSecrets": []any{"other"}, "mutator.exempt": []any{"other.example.com"}, "mutator.workloads": []any{"Job"},
		"mutator.onUnresolvedByNamespace": map[string]any{"other": "keep"}, "mutator.config": map[string]any{"server": map[string]any{"concurrency": 7}},
		"webhook.namespaceSelectorExpressions": []any{map[string]any{"key": "other", "operator": "Exists"}}, "webhook.objectSelector": map[string]any{"matchLabels": map[string]any{"a": "b"}},
		"webhook.matchConditions": []any{map[string]any{"name": "other", "expression": "true"}}, "scanner.bundled.disk": "17Gi", "scanner.bundled.extraArgs": []any{"--warm"},
		"exceptions":   []any{map[string]any{"cve": "CVE-2", "images": []any{"a"}, "expires": "2027-01-01", "reason": "other"}},
		"vexDocuments": map[string]any{"other.json": "{}"}, "registry.allowed": []any{"other.example.com"}, "registry.insecure": []any{"other:1"}, "registry.platforms": []any{"linux/arm64"},
		"pullSecrets.namespaces": []any{"other"}, "config": map[string]any{"scan": map[string]any{"queue": 7}},
		"podSecurityContext": map[string]any{"runAsUser": 7}, "securityContext": map[string]any{"runAsUser": 7},
		"service.ipFamilies": []any{"IPv6"}, "networkPolicy.egress.ports": []any{7}, "networkPolicy.egress.apiServerPorts": []any{7},
		"extraObjects": []any{"{apiVersion: v1, kind: Secret, metadata: {name: other}}"}, "podDisruptionBudget.maxUnavailable": 2,
		"image.provider.digest": "sha256:" + strings.Repeat("1", 64), "image.mutator.digest": "sha256:" + strings.Repeat("1", 64), "image.scanner.digest": "sha256:" + strings.Repeat("1", 64),
		"service.type": "LoadBalancer", "policies.manage": "none", "certificates.mode": "secret", "scanner.anchore.api": "v1", "verdict.severityThreshold": "low",
		"service.ipFamilyPolicy": "RequireDualStack", "log.level": "warn", "scanner.bundled.database": "sample", "image.pullPolicy": "Never", "policies.enforcementAction": "warn",
		"mutator.onUnresolved": "keep", "scanner.harbor.verify": "off", "webhook.failurePolicy": "Ignore", "provider.clientAuth": "off", "log.format": "text",
		"worker.affinity": map[string]any{"podAffinity": map[string]any{}}, "affinity": map[string]any{"podAffinity": map[string]any{}}, "certificates.caValidity": "99999h",
		"verdict.unmatchedPackages": "accept", "verdict.noPackages": "accept", "verdict.endOfLife": "accept", "verdict.kev": "deny",
	}
	if other, ok := special[v.Name()]; ok {
		return other, true
	}
	switch d := v.Default.(type) {
	case bool:
		return !d, true
	case float64:
		return d + 3, true
	case string:
		if looksLikeDuration.MatchString(d) {
			return "7s", true
		}
		return "other", true
	case []any:
		return []any{map[string]any{"name": "other"}}, true
	case map[string]any:
		if _, ok := d["requests"]; ok {
			return map[string]any{"requests": map[string]any{"cpu": "7m"}}, true
		}
		return map[string]any{"other": "value"}, true
	}
	return nil, false
}

func TestAValueWithoutACommentIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: 1\n":                          "a has no comment",
		"# a\na: 1\n\n# b\n\nb: 2\n":      "b has no comment",
		"g:\n  # x\n  a: 1\n  b: 2\n":     "g.b has no comment",
		"# a\na: {}\n# @schema {\nb: 1\n": "line 3",
	} {
		if _, err := doc.Values([]byte(text)); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
