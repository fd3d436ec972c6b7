package installed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/imagegate/imagegate/e2e/inventory"
	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/replicas"
)

const (
	// patience bounds every wait for something that must come, seconds what is to
	// come in seconds.
	patience = 90 * time.Second
	seconds  = 10 * time.Second

	namespace = "imagegate-system"
	account   = "system:serviceaccount:" + namespace + ":imagegate-provider"
	// tenant is the namespace of the Pods.
	tenant = "tenant"
)

// The certificates live short here: two CAs and four leaves pass in the time of the
// load.
const (
	caValidity, leafValidity = 60 * time.Second, 30 * time.Second
	propagation, overlap     = 3 * time.Second, 10 * time.Second
)

// chart is what the chart would render of this.
const chart = `
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
  clientConfig: {service: {namespace: ` + namespace + `, name: imagegate, path: /mutate}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  # No mutator runs here: what is tried is who writes its caBundle.
  namespaceSelector: {matchLabels: {none: such}}
`

// installation is what an operator has: a chart, values, and providers that run.
type installation struct {
	t       *testing.T
	fleet   *replicas.Fleet
	nodes   []*replicas.Node
	service *service
	good    registry.Pushed
	bad     registry.Pushed
}

// newInstallation keeps what it writes in dir of the test's folder. change has the last
// word on the configuration of each provider; nil: nobody has.
func newInstallation(t *testing.T, dir string, change func(n *replicas.Node, c replicas.Config)) *installation {
	t.Helper()
	i := &installation{t: t, service: newService(t)}
	kubeconfig, err := shared.cluster.User(account)
	if err != nil {
		t.Fatal(err)
	}
	i.fleet, err = replicas.NewFleet(replicas.Options{
		Program: shared.provider, Dir: filepath.Join(shared.dir, dir),
		Change: func(n *replicas.Node, c replicas.Config) {
			c.Section("server")["shutdownDelay"] = "3s"
			c.Section("server")["tls"] = replicas.Config{}
			c["install"] = replicas.Config{
				"enabled": true, "kubeconfig": kubeconfig, "namespace": namespace,
				"owner":           replicas.Config{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "resource": "clusterroles", "name": "imagegate-install"},
				"provider":        replicas.Config{"url": i.service.url() + "/scan-reports", "timeout": "10s"},
				"mutatingWebhook": "imagegate-mutator",
				"certificates": replicas.Config{
					"dnsNames": []string{"localhost", "imagegate." + namespace + ".svc"}, "dir": filepath.Join(n.Data, "served"),
					"caValidity": caValidity.String(), "leafValidity": leafValidity.String(), "propagation": propagation.String(), "overlap": overlap.String(),
				},
			}
			if change != nil {
				change(n, c)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.fleet.Stop)
	i.fleet.Scanner.Usually(replicas.Behaviour{Takes: 20 * time.Millisecond})
	for _, name := range []string{"imagegate-0", "imagegate-1"} {
		n, err := i.fleet.Add(name, replicas.All, nil)
		if err != nil {
			t.Fatal(err)
		}
		i.nodes = append(i.nodes, n)
	}
	for name, into := range map[string]*registry.Pushed{"good": &i.good, "bad": &i.bad} {
		if *into, err = i.fleet.Registry.PushName(t.Context(), name, "1", name); err != nil {
			t.Fatal(err)
		}
	}
	i.fleet.Scanner.Plan(i.bad.Digest, replicas.Behaviour{Takes: 20 * time.Millisecond, Findings: 3})
	i.service.run(t, i.nodes...)
	return i
}

// install applies what is not the process's, and starts the providers. manifests are
// what the chart would render.
func (i *installation) install(manifests, policies string) {
	i.t.Helper()
	rbac, err := os.ReadFile(filepath.Join(shared.root, "provider", "install", "rbac.yaml"))
	if err != nil {
		i.t.Fatal(err)
	}
	i.apply(manifests + "---\n" + string(rbac))
	i.write(policies)
	if err := i.fleet.Start(i.t.Context(), i.nodes...); err != nil {
		i.t.Fatal(err)
	}
}

func (i *installation) apply(manifests string) {
	i.t.Helper()
	if err := shared.cluster.Apply(i.t.Context(), manifests); err != nil {
		i.t.Fatal(err)
	}
}

// write writes the policies' ConfigMap.
func (i *installation) write(policies string) {
	i.t.Helper()
	i.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: " + namespace + ", name: imagegate-policies}\ndata:\n  policies.yaml: |\n    " +
		strings.ReplaceAll(policies, "\n", "\n    ") + "\n")
}

func (i *installation) kubectl(args ...string) string {
	i.t.Helper()
	out, err := shared.cluster.Kubectl(i.t.Context(), args...)
	if err != nil {
		i.t.Fatalf("kubectl %v: %s", args, out)
	}
	return out
}

// says is what the providers say of the installation.
func (i *installation) says() string {
	var all strings.Builder
	for _, n := range i.nodes {
		req, err := http.NewRequestWithContext(i.t.Context(), http.MethodGet, n.Probes()+"/readyz", nil)
		if err != nil {
			i.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Fprintln(&all, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		for line := range strings.Lines(string(body)) {
			if rest, ok := strings.CutPrefix(line, "installation: "); ok {
				fmt.Fprintln(&all, strings.TrimSpace(rest))
			}
		}
	}
	return all.String()
}

// enforcing waits until each says so.
func (i *installation) enforcing() {
	i.t.Helper()
	i.eventually(patience, func() error {
		if says := i.says(); says != strings.Repeat("ok\n", len(i.nodes)) {
			return fmt.Errorf("the installation: %s", says)
		}
		return nil
	})
}

func (i *installation) eventually(within time.Duration, check func() error) {
	i.t.Helper()
	eventually(i.t, within, check)
}

func eventually(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("within %s: %v", within, err)
}

// serial makes each question one that Gatekeeper has not had: the key has the
// service account.
var serial atomic.Int64

// ask has the API server judge a Pod, without making it.
func ask(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	n := serial.Add(1)
	_, err := shared.cluster.Client.CoreV1().Pods(tenant).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p-%d", n)},
		Spec:       corev1.PodSpec{ServiceAccountName: fmt.Sprintf("sa-%d", n), Containers: []corev1.Container{{Name: "app", Image: image}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// judged waits until the good image is admitted and the bad one denied for what was
// found.
func (i *installation) judged() {
	i.t.Helper()
	i.eventually(patience, func() error {
		if err := ask(i.t.Context(), i.good.Ref); err != nil {
			return fmt.Errorf("the good image: %w", err)
		}
		if err := ask(i.t.Context(), i.bad.Ref); err == nil || !strings.Contains(err.Error(), "scan result is 'reject'") {
			return fmt.Errorf("the bad image: %w", err)
		}
		return nil
	})
}

const strict = "scanPolicies: {defaultPolicy: scan-result}"

// TestInstallation is the life of one: it comes into an empty cluster, before
// Gatekeeper, and leaves it empty.
func TestInstallation(t *testing.T) {
	empty := everything(t)
	i := newInstallation(t, "fleet", nil)
	began := time.Now()
	i.install(chart, strict)
	// They are ready before the first of them has looked.
	i.eventually(seconds, func() error {
		says := i.says()
		for _, want := range []string{"not enforcing yet, because", "there is no Gatekeeper", "clients are refused"} {
			if !strings.Contains(says, want) {
				return fmt.Errorf("without Gatekeeper: %s", says)
			}
		}
		return nil
	})
	t.Logf("providers ready without Gatekeeper %.1f s after the installation: %s", time.Since(began).Seconds(), i.says())
	// None of it is denied meanwhile.
	if err := ask(t.Context(), i.bad.Ref); err != nil {
		t.Errorf("before anything is enforced: %v", err)
	}

	began = time.Now()
	if err := shared.cluster.InstallGatekeeper(t.Context()); err != nil {
		t.Fatal(err)
	}
	came := time.Now()
	i.enforcing()
	t.Logf("enforcing %.1f s after Gatekeeper was ready, %.1f s after its installation began", time.Since(came).Seconds(), time.Since(began).Seconds())
	i.judged()

	t.Run("Edit", i.edit)
	t.Run("BrokenRules", i.brokenRules)
	t.Run("Drift", i.drift)
	t.Run("Prune", i.prune)
	t.Run("Rights", i.rights)
	t.Run("FailsOpen", i.failsOpen)
	t.Run("Rotation", i.rotation)
	t.Run("Reinstalled", i.reinstalled)
	i.t = t
	i.uninstall(empty)
}

// on has i report to a subtest.
func (i *installation) on(t *testing.T) { i.t = t }

func (i *installation) edit(t *testing.T) {
	i.on(t)
	i.write("scanPolicies: {defaultPolicy: accept, byNamespace: {other: {defaultPolicy: reject}}}")
	began := time.Now()
	i.eventually(patience, func() error { return ask(t.Context(), i.bad.Ref) })
	t.Logf("an edit of the policies was in force after %.1f s", time.Since(began).Seconds())
	i.write(strict)
	i.judged()
}

func (i *installation) brokenRules(t *testing.T) {
	i.on(t)
	rules := func(rule string) string {
		return strict + "\ncustomRules: |\n  package imagegate\n  " + rule
	}
	i.write(rules(`deny_image[msg] { input.ContainerObject.name == "app"; msg := "app is no name" }`))
	denied := func(why string) {
		t.Helper()
		i.eventually(patience, func() error {
			if err := ask(t.Context(), i.good.Ref); err == nil || !strings.Contains(err.Error(), why) {
				return fmt.Errorf("denied for another reason: %w", err)
			}
			return nil
		})
	}
	denied("app is no name")
	i.enforcing()
	i.write(rules(`deny_image[msg] { msg := nothing }`))
	i.eventually(seconds, func() error {
		if says := i.says(); !strings.Contains(says, "enforcing, but: customRules does not compile: 2 errors occurred: customRules:2: rego_unsafe_var_error") {
			return errors.New(says)
		}
		return nil
	})
	t.Log(i.says())
	denied("app is no name")
	i.eventually(seconds, func() error {
		if events := i.kubectl("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].reason}"); !strings.Contains(events, "RulesDoNotCompile") {
			return fmt.Errorf("events: %s", events)
		}
		return nil
	})
	i.write(strict)
	i.enforcing()
	i.judged()
	if out := i.kubectl("get", "constrainttemplates", "-o", "name"); strings.Contains(out, "imagegaterules") {
		t.Errorf("the rules' template is still there: %s", out)
	}
}

func (i *installation) drift(t *testing.T) {
	i.on(t)
	field := func(kind, name, path string) string {
		out, err := shared.cluster.Kubectl(t.Context(), "get", kind, name, "-o", "jsonpath={"+path+"}")
		if err != nil {
			return "none"
		}
		return out
	}
	for _, c := range []struct {
		name             string
		change           []string
		kind, object, at string
	}{
		{"action", []string{"patch", "imagescanpolicy", "imagegate", "--type=merge", "-p", `{"spec":{"enforcementAction":"dryrun"}}`}, "imagescanpolicy", "imagegate", ".spec"},
		{"a selector", []string{"patch", "imagescanpolicy", "imagegate", "--type=merge", "-p", `{"spec":{"match":{"labelSelector":{"matchLabels":{"none":"such"}}}}}`}, "imagescanpolicy", "imagegate", ".spec"},
		{"the label", []string{"label", "imagescanpolicy", "imagegate", "imagegate.dev/installed-by-"}, "imagescanpolicy", "imagegate", ".metadata.labels"},
		{"the Constraint", []string{"delete", "imagescanpolicy", "imagegate"}, "imagescanpolicy", "imagegate", ".spec"},
		{"the Provider", []string{"delete", "provider", "imagegate-provider"}, "provider", "imagegate-provider", ".spec.url"},
		{"its URL", []string{"patch", "provider", "imagegate-provider", "--type=merge", "-p", `{"spec":{"url":"https://127.0.0.1:1"}}`}, "provider", "imagegate-provider", ".spec.url"},
		{"the template", []string{"patch", "constrainttemplate", "imageregistryallowed", "--type=json", "-p", `[{"op":"replace","path":"/spec/targets/0/code/0/source/rego","value":"package a\n\nimport future.keywords\n\nviolation contains {\"msg\": \"x\"} if input.a"}]`},
			"constrainttemplate", "imageregistryallowed", ".spec.targets[0].code[0].source.rego"},
		{"the Secret", []string{"delete", "secret", "-n", namespace, "imagegate-tls"}, "secret/imagegate-tls", "-n=" + namespace, ".type"},
		{"the state", []string{"delete", "configmap", "-n", namespace, "imagegate-state"}, "configmap/imagegate-state", "-n=" + namespace, ".metadata.name"},
	} {
		before := field(c.kind, c.object, c.at)
		i.kubectl(c.change...)
		began := time.Now()
		i.eventually(seconds+5*time.Second, func() error {
			if after := field(c.kind, c.object, c.at); after != before {
				return fmt.Errorf("%s: %s", c.name, after)
			}
			return nil
		})
		t.Logf("%-14s repaired %.1f s later", c.name, time.Since(began).Seconds())
	}
	i.enforcing()
	i.judged()
}

func (i *installation) prune(t *testing.T) {
	i.on(t)
	i.write(strict + `
objects:
- {apiVersion: constraints.gatekeeper.sh/v1beta1, kind: ImageDigestRequired, metadata: {name: pinned}, spec: {enforcementAction: warn, match: {kinds: [{apiGroups: [""], kinds: [Pod]}]}}}
- {apiVersion: expansion.gatekeeper.sh/v1beta1, kind: ExpansionTemplate, metadata: {name: imagegate-e2e}, spec: {applyTo: [{groups: [apps], kinds: [Deployment], versions: [v1]}], templateSource: spec.template, generatedGVK: {kind: Pod, group: "", version: v1}}}`)
	i.eventually(patience, func() error {
		_, err := shared.cluster.Kubectl(t.Context(), "get", "imagedigestrequired/pinned", "expansiontemplate/imagegate-e2e")
		return err
	})
	i.write(strict)
	i.eventually(patience, func() error {
		if out := i.kubectl("get", "imagedigestrequired,expansiontemplate", "-o", "name"); out != "" {
			return fmt.Errorf("still there: %s", out)
		}
		return nil
	})
}

// rights tries what the provider's account must not.
func (i *installation) rights(t *testing.T) {
	kubeconfig, err := shared.cluster.User(account)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Gatekeeper's Secret": func() error {
			_, err := client.CoreV1().Secrets("gatekeeper-system").Get(t.Context(), "gatekeeper-webhook-server-cert", metav1.GetOptions{})
			return err
		}(),
		"our Secrets": func() error {
			_, err := client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
			return err
		}(),
		"another Secret": func() error {
			_, err := client.CoreV1().Secrets(namespace).Get(t.Context(), "other", metav1.GetOptions{})
			return err
		}(),
		"webhooks": func() error {
			_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{})
			return err
		}(),
		"Gatekeeper's webhook": client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "gatekeeper-validating-webhook-configuration", metav1.DeleteOptions{}),
		"our webhook":          client.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), "imagegate-mutator", metav1.DeleteOptions{}),
		"Pods": func() error {
			_, err := client.CoreV1().Pods(tenant).List(t.Context(), metav1.ListOptions{})
			return err
		}(),
		"our ClusterRole": client.RbacV1().ClusterRoles().Delete(t.Context(), "imagegate-install", metav1.DeleteOptions{}),
	} {
		if err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (i *installation) failsOpen(t *testing.T) {
	i.on(t)
	policy := func(p string) {
		i.kubectl("patch", "validatingwebhookconfiguration", "gatekeeper-validating-webhook-configuration", "--type=json",
			"-p", `[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"`+p+`"}]`)
	}
	status := func() string {
		return i.kubectl("get", "configmap", "-n", namespace, "imagegate-state", "-o", "jsonpath={.data.state\\.json}")
	}
	policy("Ignore")
	i.eventually(seconds, func() error {
		if !strings.Contains(status(), "gatekeeper_fails_open") {
			return errors.New("not said")
		}
		return nil
	})
	policy("Fail")
	i.eventually(seconds, func() error {
		if strings.Contains(status(), "gatekeeper_fails_open") {
			return errors.New("still said")
		}
		return nil
	})
}

// rotation asks all the time while CAs and leaves are replaced, and a replica is
// stopped and started in the middle, the leader among them.
func (i *installation) rotation(t *testing.T) {
	i.on(t)
	const askers = 4
	ctx, cancel := context.WithTimeout(t.Context(), 2*caValidity+10*time.Second)
	defer cancel()
	var asked, failed atomic.Int64
	var mu sync.Mutex
	said := map[string]int{}
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := ask(context.WithoutCancel(ctx), i.good.Ref)
				asked.Add(1)
				if err != nil {
					failed.Add(1)
					mu.Lock()
					said[err.Error()]++
					mu.Unlock()
				}
			}
		})
	}
	cas, leaves := map[string]bool{}, map[string]bool{}
	restarts := 0
	began := time.Now()
	for ctx.Err() == nil {
		for secret, seen := range map[string]map[string]bool{"ca\\.crt": cas, "tls\\.crt": leaves} {
			seen[i.kubectl("get", "secret", "-n", namespace, "imagegate-tls", "-o", "jsonpath={.data."+secret+"}")] = true
		}
		// By turns, so that the one that leads is among them.
		if due := int(time.Since(began) / (25 * time.Second)); due > restarts {
			n := i.nodes[restarts%len(i.nodes)]
			restarts++
			n.Stop()
			if err := i.fleet.Start(context.WithoutCancel(ctx), n); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	wg.Wait()
	took := time.Since(began)
	t.Logf("%d Pods were judged in %.0f s (%.0f a second) while %d CAs and %d leaves passed and replicas restarted %d times: %d failures",
		asked.Load(), took.Seconds(), float64(asked.Load())/took.Seconds(), len(cas), len(leaves), restarts, failed.Load())
	for message, n := range said {
		t.Errorf("%d times: %s", n, message)
	}
	if len(cas) < 3 || len(leaves) < 5 || restarts < 4 {
		t.Errorf("too little passed: the test shows nothing")
	}
	i.enforcing()
}

// reinstalled takes Gatekeeper away with all that is of its kinds, and brings it back.
func (i *installation) reinstalled(t *testing.T) {
	i.on(t)
	if err := shared.cluster.RemoveGatekeeper(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.eventually(2*seconds, func() error {
		if says := i.says(); !strings.Contains(says, "not enforcing yet, because") {
			return fmt.Errorf("without Gatekeeper: %s", says)
		}
		return nil
	})
	if err := shared.cluster.InstallGatekeeper(t.Context()); err != nil {
		t.Fatal(err)
	}
	came := time.Now()
	i.enforcing()
	t.Logf("enforcing %.1f s after Gatekeeper was back", time.Since(came).Seconds())
	i.judged()
}

// uninstall removes the chart's objects while the providers run, which is the order
// that leaves most behind.
func (i *installation) uninstall(empty map[string]bool) {
	t := i.t
	for _, args := range [][]string{
		{"delete", "clusterrole", "imagegate-install"},
		{"delete", "clusterrole", "imagegate-install-policies"},
		{"delete", "clusterrolebinding", "imagegate-install", "imagegate-install-policies"},
		{"delete", "mutatingwebhookconfiguration", "imagegate-mutator"},
	} {
		i.kubectl(args...)
	}
	// What the garbage collector takes does not come back while the namespace is there.
	i.eventually(patience, func() error {
		var left []string
		for name := range everything(t) {
			if !empty[name] && (strings.Contains(name, "gatekeeper.sh/") && strings.Contains(name, "image") || strings.Contains(name, namespace+"/imagegate-") && !strings.Contains(name, "role") && !strings.Contains(name, "imagegate-policies")) {
				left = append(left, name)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
	if err := ask(t.Context(), i.bad.Ref); err != nil {
		t.Errorf("after the uninstall a Pod is denied: %v", err)
	}
	for _, n := range i.nodes {
		n.Stop()
	}
	i.kubectl("delete", "namespace", namespace, tenant)
	if err := shared.cluster.RemoveGatekeeper(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.eventually(patience, func() error {
		var left []string
		for name := range everything(t) {
			if !empty[name] {
				left = append(left, name)
			}
		}
		slices.Sort(left)
		if left = slices.DeleteFunc(left, others); len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
}

// others says that an object is Gatekeeper's manifest's, or an account that the
// controllers of the cluster make for themselves.
func others(name string) bool {
	return strings.Contains(name, "gatekeeper-") || strings.HasPrefix(name, "/serviceaccounts/kube-") || name == "/serviceaccounts/default/default"
}

// everything lists all objects but those that come and go by themselves.
func everything(t *testing.T) map[string]bool {
	t.Helper()
	found, err := inventory.Take(t.Context(), shared.cluster.Client.Discovery(), shared.cluster.Dynamic)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
