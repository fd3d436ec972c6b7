package tests

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/charts/documents"
)

// monitored has everything that there is to look at.
const monitored = `{serviceMonitor: {enabled: true}, podMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true},
  view: {enabled: true}, inventory: {enabled: true}, webhook: {failurePolicy: Ignore}, nats: {url: 'nats://n:4222'}}`

// metricsOfTheCode are the names in the sources.
func metricsOfTheCode(t *testing.T) map[string]bool {
	t.Helper()
	names, err := documents.Metrics("../..")
	if err != nil {
		t.Fatal(err)
	}
	names["process_resident_memory_bytes"] = true
	for name := range maps.Clone(names) {
		if strings.HasSuffix(name, "_seconds") {
			names[name+"_bucket"], names[name+"_sum"], names[name+"_count"] = true, true, true
		}
	}
	if len(names) < 50 {
		t.Fatalf("%d metrics found", len(names))
	}
	return names
}

var metricName = regexp.MustCompile(`\b((?:imagegate|process)_[a-z_]+)`)

func TestAlertsAskForMetricsThatExistAndAreExplained(t *testing.T) {
	t.Parallel()
	known := metricsOfTheCode(t)
	rule := one(t, objects(t, parse(t, monitored)), "PrometheusRule", "gate-imagegate")
	groups, _, err := unstructured.NestedSlice(rule.Object, "spec", "groups")
	if err != nil || len(groups) != 1 {
		t.Fatal(groups, err)
	}
	group, _ := groups[0].(map[string]any)
	rules, _ := group["rules"].([]any)
	text, err := os.ReadFile(filepath.Join(chartDir, "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			explained[strings.ToLower(strings.TrimSpace(name))] = true
		}
	}
	for _, r := range rules {
		a, _ := r.(map[string]any)
		name, _ := a["alert"].(string)
		expr, _ := a["expr"].(string)
		if name == "" || expr == "" {
			t.Errorf("an alert without a name or an expression: %v", a)
		}
		for _, m := range metricName.FindAllString(expr, -1) {
			if !known[m] {
				t.Errorf("%s: there is no metric %s", name, m)
			}
		}
		annotations, _ := a["annotations"].(map[string]any)
		url, _ := annotations["runbook_url"].(string)
		_, anchor, _ := strings.Cut(url, "#")
		if anchor != strings.ToLower(name) || !explained[anchor] {
			t.Errorf("%s: %s leads nowhere", name, url)
		}
		delete(explained, anchor)
		if summary, _ := annotations["summary"].(string); len(summary) < 20 {
			t.Errorf("%s: %q says nothing", name, summary)
		}
	}
	for name := range explained {
		t.Errorf("RUNBOOK.md explains %s, which is no alert", name)
	}
	if len(rules) < 14 {
		t.Errorf("%d alerts", len(rules))
	}
}

func TestTheDashboardAsksForMetricsThatExist(t *testing.T) {
	t.Parallel()
	known := metricsOfTheCode(t)
	cm := as[corev1.ConfigMap](t, one(t, objects(t, parse(t, monitored)), "ConfigMap", "gate-imagegate-dashboard"))
	if cm.Labels["grafana_dashboard"] != "1" {
		t.Errorf("Grafana's sidecar finds it by a label: %v", cm.Labels)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(cm.Data["imagegate.json"]), &d); err != nil || len(d.Panels) < 15 {
		t.Fatalf("%d panels, %v", len(d.Panels), err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			names := metricName.FindAllString(target.Expr, -1)
			if len(names) == 0 || !strings.Contains(target.Expr, `namespace="$namespace"`) {
				t.Errorf("%s: %s", p.Title, target.Expr)
			}
			for _, m := range names {
				if !known[m] {
					t.Errorf("%s: there is no metric %s", p.Title, m)
				}
			}
		}
	}
}

func TestMetricsAreReadOverVerifiedTLS(t *testing.T) {
	t.Parallel()
	list := objects(t, parse(t, monitored))
	endpoints, _, _ := unstructured.NestedSlice(one(t, list, "ServiceMonitor", "gate-imagegate").Object, "spec", "endpoints")
	if len(endpoints) != 2 {
		t.Errorf("endpoints %v", endpoints)
	}
	service := as[corev1.Service](t, one(t, list, "Service", "gate-imagegate"))
	for _, e := range endpoints {
		text := toJSON(t, e)
		for _, want := range []string{`"scheme":"https"`, `"serverName":"gate-imagegate.imagegate-system.svc"`, `"name":"gate-imagegate-state"`, `"key":"ca.crt"`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s", text, want)
			}
		}
		if strings.Contains(text, "insecureSkipVerify") {
			t.Errorf("%s verifies nothing", text)
		}
		m, _ := e.(map[string]any)
		if !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == m["port"] }) {
			t.Errorf("the Service has no port %v", m["port"])
		}
	}
	one(t, list, "PodMonitor", "gate-imagegate-worker")
}

// Every reason that the provider can give, and every finding of its doctor, is in the runbook.
func TestTheRunbookKnowsEveryReason(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../provider/install/finding/finding.go")
	if err != nil {
		t.Fatal(err)
	}
	book, err := os.ReadFile(filepath.Join(chartDir, "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`ID = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		found++
		if !strings.Contains(string(book), "`"+m[1]+"`") {
			t.Errorf("%s is not explained", m[1])
		}
	}
	if found < 15 {
		t.Errorf("%d reasons found", found)
	}
}

// What provider doctor goes by: labels, keys of ConfigMaps, the name of a port.
func TestTheDoctorFindsTheRelease(t *testing.T) {
	t.Parallel()
	for name, values := range sets(t) {
		list := objects(t, values)
		found := map[string]int{}
		for _, u := range list {
			set := u.GetLabels()
			text, ok, _ := unstructured.NestedString(u.Object, "data", "config.yaml")
			if u.GetKind() == "ConfigMap" && ok && set["app.kubernetes.io/part-of"] == "imagegate" && set["app.kubernetes.io/instance"] == release.Name && strings.HasPrefix(set["helm.sh/chart"], "imagegate-") {
				component := set["app.kubernetes.io/component"]
				found[component]++
				if component == "mutator" && (!strings.Contains(text, "duration:") || !strings.Contains(text, "resolveTimeout:")) {
					t.Errorf("%s: the mutator's configuration does not say how long it may take", name)
				}
			}
		}
		mutates := slices.ContainsFunc(list, func(u *unstructured.Unstructured) bool { return u.GetKind() == "MutatingWebhookConfiguration" })
		if found["provider"] != 1 || (found["mutator"] == 1) != mutates {
			t.Errorf("%s: configurations %v, and there is a webhook: %t", name, found, mutates)
		}
		for _, w := range workloads(t, list) {
			set := w.pod.Labels
			if c := set["app.kubernetes.io/component"]; c != "provider" && c != "worker" {
				continue
			}
			if set["app.kubernetes.io/instance"] != release.Name || !slices.ContainsFunc(w.pod.Spec.Containers, func(c corev1.Container) bool {
				return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == "probes" })
			}) {
				t.Errorf("%s: a Pod with the labels %v is not found, or has no port named probes", name, set)
			}
		}
	}
}

// The scanner's arguments are flags of it.
func TestTheScannerKnowsItsArguments(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../scanner/cli/serve.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range []string{"{}", "scanner: {bundled: {database: sample}}", "scanner: {bundled: {databaseFile: /db/grype.tar.zst}}", "{registry: {insecure: ['a:1']}, scanner: {bundled: {databaseUrl: 'https://a'}}}"} {
		for _, w := range workloads(t, objects(t, parse(t, values))) {
			for _, c := range w.pod.Spec.Containers {
				if c.Name != "scanner" {
					continue
				}
				for _, arg := range c.Args[1:] {
					flag, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
					if !strings.Contains(string(source), `"`+flag+`"`) {
						t.Errorf("the scanner has no --%s", flag)
					}
				}
			}
		}
	}
}
