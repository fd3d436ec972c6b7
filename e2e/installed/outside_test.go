package installed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/replicas"
)

// released is what the chart would render, with the labels that the doctor goes by and
// a webhook that is as it should be. No Pod is made where it is called, for no mutator
// runs here.
const released = `
apiVersion: v1
kind: Namespace
metadata: {name: ` + namespace + `}
---
apiVersion: v1
kind: Namespace
metadata: {name: ` + tenant + `}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: imagegate-mutator}
webhooks:
- name: mutation.imagegate.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  timeoutSeconds: 15
  clientConfig: {service: {namespace: ` + namespace + `, name: imagegate, path: /mutate}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods, pods/ephemeralcontainers]}]
  namespaceSelector:
    matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, kube-node-lease, kube-public, gatekeeper-system, ` + namespace + `]}
---
apiVersion: v1
kind: ConfigMap
metadata:
  namespace: ` + namespace + `
  name: imagegate-provider
  labels: {app.kubernetes.io/part-of: imagegate, app.kubernetes.io/component: provider, app.kubernetes.io/instance: imagegate}
data:
  config.yaml: |
    install: {enabled: true, mutatingWebhook: imagegate-mutator, provider: {url: URL, timeout: 10s}}
    scanner: {harbor: {url: "https://adapter"}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  namespace: ` + namespace + `
  name: imagegate-mutator
  labels: {app.kubernetes.io/part-of: imagegate, app.kubernetes.io/component: mutator, app.kubernetes.io/instance: imagegate}
data:
  config.yaml: |
    wait: {duration: 10s}
    provider: {resolveTimeout: 5s}
`

// gatekeeperWebhook and mutatorWebhook are for kubectl patch.
const (
	gatekeeperWebhook = "validatingwebhookconfiguration/gatekeeper-validating-webhook-configuration"
	mutatorWebhook    = "mutatingwebhookconfiguration/imagegate-mutator"
)

// finding is one of the doctor's.
type finding struct {
	ID, Severity, Object, Message, Command string
}

// TestDoctor breaks an installation on purpose, one thing at a time, and wants of each
// the one finding that it is, and none before and after.
func TestDoctor(t *testing.T) {
	host := hostAddress(t)
	i := newInstallation(t, "doctored", func(n *replicas.Node, c replicas.Config) {
		c.Section("server")["probes"] = "0.0.0.0:" + port(t, n)
		c.Section("install", "certificates")["caValidity"] = "720h"
		c.Section("install", "certificates")["leafValidity"] = "240h"
	})
	if err := shared.cluster.InstallGatekeeper(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.install(strings.ReplaceAll(released, "URL", i.service.url()+"/scan-reports"), strict)
	for _, n := range i.nodes {
		i.pod(n, host)
	}
	i.enforcing()
	i.sound("as it was installed", shared.cluster.Kubeconfig)

	// The rights that are written down are enough.
	rbac, err := os.ReadFile(filepath.Join(shared.root, "provider", "doctor", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	i.apply(string(rbac))
	i.kubectl("create", "clusterrolebinding", "imagegate-doctor", "--clusterrole=imagegate-doctor", "--user=somebody")
	somebody, err := shared.cluster.User("somebody")
	if err != nil {
		t.Fatal(err)
	}
	i.sound("with the rights of rbac.yaml", somebody)
	nobody, err := shared.cluster.User("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if _, code, says := i.doctor(nobody); code != 2 || !strings.Contains(says, "forbidden") {
		t.Errorf("without rights: exit code %d, %s", code, says)
	}

	judging := i.kubectl("get", gatekeeperWebhook, "-o", "json")
	for _, c := range []struct {
		name string
		// breaks and mends are arguments of kubectl, or a function.
		breaks, mends    any
		id, severity     string
		message, command string
	}{
		{"Gatekeeper fails open", patch(gatekeeperWebhook, "failurePolicy", `"Ignore"`), patch(gatekeeperWebhook, "failurePolicy", `"Fail"`),
			"gatekeeper_fails_open", "error", "admitted without a look", "validatingWebhookFailurePolicy=Fail"},
		{"Gatekeeper is not waited for", patch(gatekeeperWebhook, "timeoutSeconds", "3"), patch(gatekeeperWebhook, "timeoutSeconds", "15"),
			"gatekeeper_short_timeout", "error", "timeoutSeconds 3", "validatingWebhookTimeoutSeconds=13"},
		{"Gatekeeper does not see updates", patch(gatekeeperWebhook, "rules/0/operations", `["CREATE"]`), patch(gatekeeperWebhook, "rules/0/operations", `["CREATE","UPDATE"]`),
			"gatekeeper_skips_pods", "error", "UPDATE of pods/ephemeralcontainers", "helm upgrade gatekeeper"},
		{"Gatekeeper is not called for a namespace", patch(gatekeeperWebhook, "namespaceSelector/matchExpressions/1/values", `["gatekeeper-system","`+tenant+`"]`),
			patch(gatekeeperWebhook, "namespaceSelector/matchExpressions/1/values", `["gatekeeper-system"]`),
			"gatekeeper_skips_namespaces", "error", "not called for Pods in tenant", "kubectl edit"},
		{"Gatekeeper's Config excludes a namespace", func() {
			i.apply(`{apiVersion: config.gatekeeper.sh/v1alpha1, kind: Config, metadata: {name: config, namespace: gatekeeper-system}, spec: {match: [{excludedNamespaces: [ten*], processes: [webhook]}]}}`)
		}, []string{"delete", "configs.config.gatekeeper.sh", "-n", "gatekeeper-system", "config"},
			"gatekeeper_skips_namespaces", "error", "judges no Pod in tenant", "edit configs.config.gatekeeper.sh config"},
		{"Gatekeeper asks nobody", func() {
			i.apply(`{apiVersion: v1, kind: Pod, metadata: {name: another, namespace: gatekeeper-system, labels: {gatekeeper.sh/system: "yes"}}, spec: {securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: manager, image: gatekeeper, args: [--operation=webhook, --enable-external-data=false], securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}`)
		}, []string{"delete", "pod", "-n", "gatekeeper-system", "another"},
			"gatekeeper_external_data_off", "error", "asks no provider", "enableExternalData=true"},
		{"Gatekeeper has no webhook", []string{"delete", gatekeeperWebhook}, func() { i.apply(bare(t, judging)) },
			"gatekeeper_missing", "error", "at most audited", "disableValidatingWebhook=false"},
		{"the mutator fails open", patch(mutatorWebhook, "failurePolicy", `"Ignore"`), patch(mutatorWebhook, "failurePolicy", `"Fail"`),
			"mutator_fails_open", "error", "failurePolicy Ignore", "webhook.failurePolicy=Fail"},
		{"the mutator is not waited for", patch(mutatorWebhook, "timeoutSeconds", "10"), patch(mutatorWebhook, "timeoutSeconds", "15"),
			"mutator_short_timeout", "error", "may take 10s", "webhook.timeoutSeconds=15"},
		{"the mutator is not called for a namespace", patch(mutatorWebhook, "namespaceSelector/matchExpressions/0/values/0", `"`+tenant+`"`),
			patch(mutatorWebhook, "namespaceSelector/matchExpressions/0/values/0", `"kube-system"`),
			"mutator_skips_namespaces", "error", "pinned in tenant", "helm upgrade imagegate"},
		{"another changes Pods after the mutator", func() {
			i.kubectl(patch(mutatorWebhook, "reinvocationPolicy", `"Never"`)...)
			i.apply(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: sidecar}, webhooks: [{name: inject.example.com, admissionReviewVersions: [v1], sideEffects: None, failurePolicy: Ignore, clientConfig: {url: "https://127.0.0.1:1"}, namespaceSelector: {matchLabels: {none: such}}, rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}]}`)
		}, func() {
			i.kubectl(patch(mutatorWebhook, "reinvocationPolicy", `"IfNeeded"`)...)
			i.kubectl("delete", "mutatingwebhookconfiguration", "sidecar")
		}, "mutator_overruled", "warning", "sidecar changes Pods after it", "reinvocationPolicy"},
		{"the policies only warn", func() { i.write(strict + "\nenforcementAction: warn") }, func() { i.write(strict) },
			"constraint_denies_nothing", "error", "lets it in", "policies.enforcementAction=deny"},
		{"the policies leave a namespace out", func() {
			i.write(strict + "\nmatch: {namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [" + tenant + "]}]}}")
		},
			func() { i.write(strict) }, "constraint_skips_namespaces", "warning", "Pod in tenant", "kubectl get constraints"},
		{"the rules do not compile", func() {
			i.write(strict + "\ncustomRules: |\n  package imagegate\n  deny_image[msg] { msg := nothing }")
		}, func() { i.write(strict) }, "rules_do_not_compile", "error", "rego_unsafe_var_error", "get events"},
		{"a replica is not ready", func() { i.ready(i.nodes[1], corev1.ConditionFalse) }, func() { i.ready(i.nodes[1], corev1.ConditionTrue) },
			"provider_not_ready", "warning", "1 replica of the provider is not ready: imagegate-1", "describe pods"},
		// The API server counts for as long as it runs: this is the last.
		{"a webhook failed open", func() {
			i.kubectl(patch(mutatorWebhook, "failurePolicy", `"Ignore"`)...)
			i.eventually(patience, func() error { return ask(t.Context(), i.good.Ref) })
			i.kubectl(patch(mutatorWebhook, "failurePolicy", `"Fail"`)...)
		}, nil, "webhook_failed_open", "warning", "mutation.imagegate.dev did not answer", "get --raw /metrics"},
	} {
		act := func(what any) {
			switch do := what.(type) {
			case []string:
				i.kubectl(do...)
			case func():
				do()
			}
		}
		act(c.breaks)
		only := func() error {
			found, code, says := i.doctor(shared.cluster.Kubeconfig)
			if len(found) != 1 || found[0].ID != c.id {
				return fmt.Errorf("%s: exit code %d, %s", c.name, code, says)
			}
			f := found[0]
			if want := map[string]int{"error": 1, "warning": 0}[c.severity]; f.Severity != c.severity || code != want ||
				!strings.Contains(f.Message, c.message) || !strings.Contains(f.Command, c.command) {
				return fmt.Errorf("%s: exit code %d, %+v", c.name, code, f)
			}
			return nil
		}
		i.eventually(patience, only)
		// And when the replica that installs has had its rounds, still.
		time.Sleep(2 * time.Second)
		if err := only(); err != nil {
			t.Error(err)
		}
		t.Logf("%-42s %s", c.name, c.id)
		if c.mends != nil {
			act(c.mends)
			i.sound("after "+c.name, shared.cluster.Kubeconfig)
		}
	}
	i.leave()
}

// patch are kubectl's arguments that set a field of the first webhook.
func patch(object, field, value string) []string {
	return []string{"patch", object, "--type=json", "-p", `[{"op":"replace","path":"/webhooks/0/` + field + `","value":` + value + `}]`}
}

// bare is an object without what the API server writes.
func bare(t *testing.T, text string) string {
	t.Helper()
	var u map[string]any
	if err := json.Unmarshal([]byte(text), &u); err != nil {
		t.Fatal(err)
	}
	metadata := u["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"} {
		delete(metadata, field)
	}
	b, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// doctor runs it, and returns its findings, exit code and all that it says.
func (i *installation) doctor(kubeconfig string) (found []finding, code int, says string) {
	i.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(i.t.Context(), shared.provider, "doctor", "--kubeconfig="+kubeconfig, "-o", "json")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			i.t.Fatal(err)
		}
		code = exit.ExitCode()
	}
	says = out.String() + errs.String()
	var d struct{ Findings []finding }
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &d); err != nil {
			i.t.Fatalf("%v: %s", err, says)
		}
	}
	return d.Findings, code, says
}

// sound waits until nothing is wrong.
func (i *installation) sound(when, kubeconfig string) {
	i.t.Helper()
	i.eventually(patience, func() error {
		if found, code, says := i.doctor(kubeconfig); len(found) > 0 || code != 0 {
			return fmt.Errorf("%s: exit code %d, %s", when, code, says)
		}
		return nil
	})
}

// hostAddress is one that the API server goes to for a Pod: none of loopback.
func hostAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(addresses, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast()
	})
	if at < 0 {
		t.Skip("this machine has no address but loopback, where the API server asks no Pod")
	}
	return addresses[at].(*net.IPNet).IP.String()
}

// port is that of a provider's probes.
func port(t *testing.T, n *replicas.Node) string {
	t.Helper()
	u, err := url.Parse(n.Probes())
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// pod makes the Pod that a provider would be in.
func (i *installation) pod(n *replicas.Node, host string) {
	i.t.Helper()
	number, err := strconv.Atoi(port(i.t, n))
	if err != nil {
		i.t.Fatal(err)
	}
	api := shared.cluster.Client.CoreV1().Pods(namespace)
	if _, err := api.Create(i.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{
			"app.kubernetes.io/name": "imagegate", "app.kubernetes.io/component": "provider", "app.kubernetes.io/instance": "imagegate",
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "provider", Image: "provider", Ports: []corev1.ContainerPort{{Name: "probes", ContainerPort: int32(number)}}}}},
	}, metav1.CreateOptions{}); err != nil {
		i.t.Fatal(err)
	}
	i.eventually(patience, func() error {
		p, err := api.Get(i.t.Context(), n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.Status.Phase != corev1.PodRunning {
			return errors.New("the Pod does not run")
		}
		p.Status.PodIP, p.Status.PodIPs = host, []corev1.PodIP{{IP: host}}
		_, err = api.UpdateStatus(i.t.Context(), p, metav1.UpdateOptions{})
		return err
	})
}

// ready has the kubelet say how a provider's Pod is.
func (i *installation) ready(n *replicas.Node, status corev1.ConditionStatus) {
	i.t.Helper()
	api := shared.cluster.Client.CoreV1().Pods(namespace)
	i.eventually(patience, func() error {
		p, err := api.Get(i.t.Context(), n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for c := range p.Status.Conditions {
			if p.Status.Conditions[c].Type == corev1.PodReady {
				p.Status.Conditions[c].Status = status
			}
		}
		_, err = api.UpdateStatus(i.t.Context(), p, metav1.UpdateOptions{})
		return err
	})
}

// leave takes away what was installed.
func (i *installation) leave() {
	i.t.Helper()
	i.kubectl("delete", mutatorWebhook)
	i.kubectl("delete", "clusterrole", "imagegate-install", "imagegate-install-policies", "imagegate-doctor")
	i.kubectl("delete", "clusterrolebinding", "imagegate-install", "imagegate-install-policies", "imagegate-doctor")
	for _, n := range i.nodes {
		n.Stop()
	}
	if err := shared.cluster.RemoveGatekeeper(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
	i.kubectl("delete", "namespace", namespace, tenant)
}
