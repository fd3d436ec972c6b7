package e2e_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// measured waits until the provider's metrics have all of the lines.
func measured(t *testing.T, want ...string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	took := eventually(t, patience, func() error {
		status, text, err := exchange(t.Context(), client, http.MethodGet, shared.System.Provider.URL+"/metrics", "")
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d: %w", status, err)
		}
		for _, line := range want {
			if !strings.Contains(text, "\n"+line+"\n") {
				return fmt.Errorf("/metrics lacks %q", line)
			}
		}
		return nil
	})
	t.Logf("after %v: %s", took.Round(time.Millisecond), strings.Join(want, ", "))
}

// TestInventory has real controllers make Pods of every kind of workload, and the
// provider see them with the rights that its manifest gives and no others.
func TestInventory(t *testing.T) {
	kubeconfig := allow(t, "inventory")
	restart(t, shared.System.Provider, "--inventory", "--inventory-kubeconfig="+kubeconfig)
	ns := namespace(t, denyPolicy)
	img := sample(t, registry.Fixed)
	template := func(app string) string {
		return fmt.Sprintf(`{metadata: {labels: {app: %s}}, spec: {restartPolicy: Always, containers: [{name: app, image: %q}]}}`, app, img.Ref)
	}
	once := strings.Replace(template("once"), "Always", "Never", 1)
	settle(t, pod(ns, "first", img.Ref)).admitted(t) // so that the others need not wait
	create(t, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: %[1]s, name: web}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: %[2]s}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {namespace: %[1]s, name: db}
spec: {serviceName: db, selector: {matchLabels: {app: db}}, template: %[3]s}
---
apiVersion: batch/v1
kind: CronJob
metadata: {namespace: %[1]s, name: nightly}
spec: {schedule: "0 0 1 1 *", suspend: true, jobTemplate: {spec: {template: %[4]s}}}
---
apiVersion: batch/v1
kind: Job
metadata: {namespace: %[1]s, name: once}
spec: {template: %[4]s}
`, ns, template("web"), template("db"), once)).admitted(t)
	if out, err := shared.Cluster.Kubectl(t.Context(), "create", "job", "-n", ns, "tonight", "--from=cronjob/nightly"); err != nil {
		t.Fatal(out, err)
	}
	digest := img.Pinned[strings.Index(img.Pinned, "@")+1:]
	line := func(of string) string { return fmt.Sprintf("%s %s %s", of, img.Ref, digest) }
	seen(t, "with all rights", kubeconfig, ns, "complete: ",
		line("CronJob/nightly x1"), line("Deployment/web x2"), line("Job/once x1"), line("Pod/first x1"), line("StatefulSet/db x1"))
	measured(t, `imagegate_inventory_phase{phase="complete"} 1`, "imagegate_inventory_left_out_pods 0", "imagegate_inventory_pods "+fmt.Sprint(present(t)))

	// A Pod that has ended is nowhere, although its Job keeps it.
	finish(t, ns, "once")
	seen(t, "after a Job has ended", kubeconfig, ns, "complete: ",
		line("CronJob/nightly x1"), line("Deployment/web x2"), line("Pod/first x1"), line("StatefulSet/db x1"))

	podsOnly := user(t, "inventory-of-pods", `{apiGroups: [""], resources: [pods], verbs: [list, watch]}`)
	seen(t, "without the owners", podsOnly, ns, "ReplicaSets cannot be read: ",
		line("Deployment/web x2"), line("Job/tonight x1"), line("Pod/first x1"), line("StatefulSet/db x1"))
	nothing, err := shared.Cluster.User("inventory-of-nothing")
	if err != nil {
		t.Fatal(err)
	}
	seen(t, "without any right", nothing, ns, "unknown: the Pods of the cluster have not been read yet: ")
}

// seen has the provider's package look at the cluster by the rights of a kubeconfig.
func seen(t *testing.T, name, kubeconfig, ns, state string, want ...string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run", "^TestOnAnAPIServer$", "./provider/inventory")
		cmd.Dir = shared.Root
		cmd.Env = append(os.Environ(), "IMAGEGATE_TEST_KUBECONFIG="+kubeconfig, "IMAGEGATE_TEST_NAMESPACE="+ns,
			"IMAGEGATE_TEST_STATE="+state, "IMAGEGATE_TEST_WANT="+strings.Join(want, "\n"))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestOnAnAPIServer") {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Log(string(out))
	})
}

// present is how many Pods of the cluster have not ended.
func present(t *testing.T) int {
	t.Helper()
	l, err := shared.Cluster.Client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
	if err != nil {
		t.Fatal(err)
	}
	return len(l.Items)
}

// finish has the Pod of a Job end, as the node would say.
func finish(t *testing.T, ns, job string) {
	t.Helper()
	pods := shared.Cluster.Client.CoreV1().Pods(ns)
	eventually(t, patience, func() error {
		l, err := pods.List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + job})
		if err != nil || len(l.Items) != 1 {
			return fmt.Errorf("%d Pods of the Job: %w", len(l.Items), err)
		}
		_, err = pods.Patch(t.Context(), l.Items[0].Name, "application/merge-patch+json", []byte(`{"status": {"phase": "Succeeded"}}`), metav1.PatchOptions{}, "status")
		return err
	})
}

// user is a kubeconfig of a user that has one rule in all namespaces.
func user(t *testing.T, name, rule string) string {
	t.Helper()
	if err := shared.Cluster.Apply(t.Context(), fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules: [%[2]s]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %[1]s}]
`, name, rule)); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := shared.Cluster.User(name)
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// TestDenialsAreRemembered has Pods denied by the real Gatekeeper, and the provider
// count them by what the mutator has told it.
func TestDenialsAreRemembered(t *testing.T) {
	config := filepath.Join(t.TempDir(), "mutator.yaml")
	if err := os.WriteFile(config, []byte("provider: {attempts: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := allow(t, "inventory")
	restart(t, shared.System.Mutator, "--config="+config)
	on := []string{"--inventory", "--inventory-kubeconfig=" + kubeconfig}
	restart(t, shared.System.Provider, on...)
	none := `imagegate_denials{state="rejected"} 0`
	measured(t, none)
	ns := namespace(t, denyPolicy)
	bad := sample(t, registry.Vulnerable)

	// A dry run is no attempt.
	if out, err := shared.Cluster.KubectlInput(t.Context(), strings.NewReader(pod(ns, "dry", bad.Ref)), "create", "--dry-run=server", "-f", "-"); err == nil {
		t.Fatalf("admitted: %s", out)
	}
	measured(t, none)
	if a := settle(t, pod(ns, "p", bad.Ref)); a.err == nil {
		t.Fatalf("admitted: %s", a.output)
	}
	measured(t, `imagegate_denials{state="rejected"} 1`)

	// The controller tries again and again, and is one entry.
	create(t, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: %s, name: web}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: %q}]}}}
`, ns, bad.Ref)).admitted(t)
	measured(t, `imagegate_denials{state="rejected"} 2`)

	// An image that is not there has no digest.
	create(t, pod(ns, "none", bad.Ref+"-none")).denied(t, "cannot pin image")
	measured(t, `imagegate_denials{state="scan_failed"} 1`)

	// The tag is built anew, and what waited for it gets in.
	if _, err := shared.Registry.Push(t.Context(), image(t, registry.Fixed), slug(t), "v1"); err != nil {
		t.Fatal(err)
	}
	settle(t, pod(ns, "p", bad.Ref)).admitted(t)
	eventuallyPods(t, ns, "app=web", 2)
	resolved := []string{`imagegate_denials{state="rejected"} 0`, `imagegate_denials{state="report_not_available"} 0`, `imagegate_denials{state="resolved"} 2`, `imagegate_denials{state="scan_failed"} 1`}
	measured(t, resolved...)
	again(t, shared.System.Provider, on...)
	measured(t, resolved...)
}

// again ends a part as a rollout would and starts it anew, until the end of a test
// that has called restart.
func again(t *testing.T, part *system.Part, args ...string) {
	t.Helper()
	part.Stop()
	if err := part.Start(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// eventuallyPods waits for that many Pods, as long as a controller may pause.
func eventuallyPods(t *testing.T, ns, selector string, n int) {
	t.Helper()
	eventually(t, 3*time.Minute, func() error {
		l, err := shared.Cluster.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
		if err != nil || len(l.Items) != n {
			return fmt.Errorf("%d Pods of %s: %w", len(l.Items), selector, err)
		}
		return nil
	})
}
