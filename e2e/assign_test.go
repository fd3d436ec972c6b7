package e2e_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// assignFolder is the repository's folder of Assign mutators.
func assignFolder(elem ...string) string {
	return filepath.Join(append([]string{shared.Root, "templates", "assign"}, elem...)...)
}

// applyAssign applies a folder of the repository's Assign mutators for one test
// and the Provider that they ask, pointed at the one that runs here.
func applyAssign(t *testing.T, folder string) {
	t.Helper()
	data, err := os.ReadFile(assignFolder("provider.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	provider := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &provider.Object); err != nil {
		t.Fatal(err)
	}
	spec := provider.Object["spec"].(map[string]any)
	spec["url"] = shared.System.Provider.URL + "/digests"
	spec["caBundle"] = base64.StdEncoding.EncodeToString(shared.Cluster.Webhooks.PEM)
	// The cluster's webhook waits longer than Gatekeeper's default: so may this.
	spec["timeout"] = int64(2)
	manifest, err := yaml.Marshal(provider.Object)
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Cluster.Apply(t.Context(), string(manifest)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteWith(t, "provider.externaldata.gatekeeper.sh/"+provider.GetName()) })
	if err := shared.Cluster.WaitTaken(t.Context(), cluster.Providers, provider.GetName()); err != nil {
		t.Fatal(err)
	}

	path := assignFolder(folder)
	if out, err := shared.Cluster.Kubectl(t.Context(), "apply", "-k", path); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { deleteWith(t, "-k", path) })
	list, err := shared.Cluster.Dynamic.Resource(cluster.Assigns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) == 0 {
		t.Fatalf("no Assign in %s", path)
	}
	for _, a := range list.Items {
		if err := shared.Cluster.WaitTaken(t.Context(), cluster.Assigns, a.GetName()); err != nil {
			t.Fatal(err)
		}
	}
}

// deleteWith runs kubectl delete after a test.
func deleteWith(t *testing.T, args ...string) {
	// The test's own context has ended.
	if out, err := shared.Cluster.Kubectl(context.Background(), append([]string{"delete"}, args...)...); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Gatekeeper alone pins containers and init containers, in a namespace where
// imagegate's mutator does nothing.
func TestAssignPinsPods(t *testing.T) {
	applyAssign(t, "pods")
	ns := namespace(t, denyPolicy, system.Unpinned)
	clean := sample(t, registry.Fixed)
	setup := pushLabelled(t, registry.Fixed, "setup")
	manifest := fmt.Sprintf("%s  initContainers:\n  - {name: setup, image: %q}\n", pod(ns, "app", clean.Ref), setup.Ref)
	settle(t, manifest).admitted(t)
	p := getPod(t, ns, "app")
	if got := p.Spec.Containers[0].Image; got != clean.Pinned {
		t.Errorf("the container runs %s, want %s", got, clean.Pinned)
	}
	if got := p.Spec.InitContainers[0].Image; got != setup.Pinned {
		t.Errorf("the init container runs %s, want %s", got, setup.Pinned)
	}

	vulnerable := pushLabelled(t, registry.Vulnerable, "vulnerable")
	settle(t, pod(ns, "vulnerable", vulnerable.Ref)).denied(t,
		append(advisory, "Image '"+vulnerable.Pinned+"' REJECTED.")...)
	settle(t, pod(ns, "pinned", clean.Pinned)).admitted(t)
	if got := getPod(t, ns, "pinned").Spec.Containers[0].Image; got != clean.Pinned {
		t.Errorf("a container that was pinned already runs %s, want %s", got, clean.Pinned)
	}
	create(t, pod(ns, "unknown", clean.Ref+"-unknown")).denied(t, "v1-unknown")
}

// With the mutators for Pods a workload stays as written, and so do the Pods that
// an ExpansionTemplate makes of it for judging: Gatekeeper gives those no
// operation, and the mutators are for creations. The workload's real Pods are
// pinned.
func TestAssignForPodsLeavesWorkloads(t *testing.T) {
	applyAssign(t, "pods")
	applyExpansion(t)
	ns := namespace(t, expandedPolicy, system.Unpinned)
	clean, vulnerable := sample(t, registry.Fixed), pushLabelled(t, registry.Vulnerable, "vulnerable")
	settle(t, deployment(ns, vulnerable.Ref)).denied(t, append(advisory,
		"[Implied by imagegate-workloads]", "Image '"+vulnerable.Ref+"' REJECTED.")...)

	settle(t, deployment(ns, clean.Ref)).admitted(t)
	available(t, ns, patience)
	if got := onlyPod(t, ns).Spec.Containers[0].Image; got != clean.Pinned {
		t.Errorf("the Deployment's Pod runs %s, want %s", got, clean.Pinned)
	}
}

// Ephemeral containers are pinned by a Gatekeeper whose mutating webhook gets
// the subresource, as its Helm chart sets it up and its plain manifest does not.
func TestAssignPinsEphemeralContainers(t *testing.T) {
	mutateEphemeralContainers(t)
	applyAssign(t, "ephemeral")
	ns := namespace(t, denyPolicy, system.Unpinned)
	clean := sample(t, registry.Fixed)
	n := 0
	eventually(t, patience, func() error {
		// The API server takes a moment to follow its webhook configuration,
		// and ephemeral containers cannot be taken back: a Pod for each try.
		n++
		name := fmt.Sprintf("app-%d", n)
		settle(t, pod(ns, name, clean.Ref)).admitted(t)
		out, err := shared.Cluster.Kubectl(t.Context(), "debug", "-n", ns, "pod/"+name, "--container=debug", "--image="+clean.Ref)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		p := getPod(t, ns, name)
		if got := p.Spec.EphemeralContainers[0].Image; got != clean.Pinned {
			return fmt.Errorf("the ephemeral container runs %s, want %s", got, clean.Pinned)
		}
		if got := p.Spec.Containers[0].Image; got != clean.Ref {
			t.Errorf("the container runs %s, want it as written: %s", got, clean.Ref)
		}
		return nil
	})
}

// mutateEphemeralContainers adds the subresource to the rules of Gatekeeper's
// mutating webhook for one test.
func mutateEphemeralContainers(t *testing.T) {
	t.Helper()
	patch := func(ctx context.Context, operation string) {
		out, err := shared.Cluster.Kubectl(ctx, "patch", "mutatingwebhookconfiguration",
			"gatekeeper-mutating-webhook-configuration", "--type=json", "--patch", operation)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	patch(t.Context(), `[{"op": "add", "path": "/webhooks/0/rules/0/resources/1", "value": "pods/ephemeralcontainers"}]`)
	t.Cleanup(func() {
		patch(context.Background(), `[{"op": "remove", "path": "/webhooks/0/rules/0/resources/1"}]`)
	})
}

// With the mutators for workloads the templates of all kinds are pinned.
func TestAssignPinsWorkloads(t *testing.T) {
	applyAssign(t, "workloads")
	ns := namespace(t, dryrunPolicy, system.Unpinned)
	img := sample(t, registry.Fixed)
	template := func(restart string) string {
		return fmt.Sprintf(`{metadata: {labels: {app: a}}, spec: {restartPolicy: %s, `+
			`initContainers: [{name: setup, image: %q}], containers: [{name: app, image: %q}]}}`, restart, img.Ref, img.Ref)
	}
	for _, tc := range []struct{ kind, api, spec, at string }{
		{"Deployment", "apps/v1", "selector: {matchLabels: {app: a}}, template: " + template("Always"), "{.spec.template.spec"},
		{"StatefulSet", "apps/v1", "serviceName: a, selector: {matchLabels: {app: a}}, template: " + template("Always"), "{.spec.template.spec"},
		{"DaemonSet", "apps/v1", "selector: {matchLabels: {app: a}}, template: " + template("Always"), "{.spec.template.spec"},
		{"ReplicaSet", "apps/v1", "selector: {matchLabels: {app: a}}, template: " + template("Always"), "{.spec.template.spec"},
		{"Job", "batch/v1", "template: " + template("Never"), "{.spec.template.spec"},
		{"CronJob", "batch/v1", `schedule: "0 4 * * *", jobTemplate: {spec: {template: ` + template("Never") + "}}", "{.spec.jobTemplate.spec.template.spec"},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			manifest := fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: app, namespace: %s}, spec: {%s}}", tc.api, tc.kind, ns, tc.spec)
			out, err := shared.Cluster.KubectlInput(t.Context(), strings.NewReader(manifest),
				"create", "--dry-run=server", "-f", "-", "-o", "jsonpath="+tc.at+".containers[*].image} "+tc.at+".initContainers[*].image}")
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if want := img.Pinned + " " + img.Pinned; out != want {
				t.Errorf("the template's images are %s, want %s", out, want)
			}
		})
	}
}
