package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/registry"
)

// slowScan is how long the registry holds back the layer of a slow image.
const slowScan = 8 * time.Second

func deployment(ns, image string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: %s, name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - {name: app, image: %q}
`, ns, image)
}

// slowImage pushes a clean image that takes at least that long to scan.
func slowImage(t *testing.T, slow time.Duration) registry.Pushed {
	t.Helper()
	img := image(t, registry.Fixed)
	if err := shared.Registry.SlowLayers(img, slow); err != nil {
		t.Fatal(err)
	}
	return push(t, img, "v1")
}

// available waits until the Deployment has its Pod and returns how long that
// took.
func available(t *testing.T, ns string, within time.Duration) time.Duration {
	t.Helper()
	return eventually(t, within, func() error {
		d := getDeployment(t, ns)
		if d.Status.AvailableReplicas != 1 {
			return fmt.Errorf("the Deployment is not available: %+v", d.Status.Conditions)
		}
		return nil
	})
}

func getDeployment(t *testing.T, ns string) *appsv1.Deployment {
	t.Helper()
	d, err := shared.Cluster.Client.AppsV1().Deployments(ns).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// failedCreates returns the messages of the ReplicaSet controller's denials.
func failedCreates(t *testing.T, ns string) []string {
	t.Helper()
	events, err := shared.Cluster.Client.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=FailedCreate"})
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, e := range events.Items {
		messages = append(messages, e.Message)
	}
	return messages
}

func TestDeploymentWithSlowScanIsAdmittedOnTheFirstTry(t *testing.T) {
	ns := namespace(t, denyPolicy)
	img := slowImage(t, slowScan)
	create(t, deployment(ns, img.Ref)).admitted(t)
	took := available(t, ns, patience)
	if denials := failedCreates(t, ns); len(denials) > 0 {
		t.Errorf("the controller was denied first: %s", denials[0])
	}
	scan, err := shared.System.ScanTime(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if scan < slowScan {
		t.Fatalf("the scan took %v only: the test shows nothing", scan)
	}
	t.Logf("a Deployment, the mutator waiting: created to available %.2f s, the scan itself %.2f s, over %.2f s",
		took.Seconds(), scan.Seconds(), (took - scan).Seconds())
	p := onlyPod(t, ns)
	pinned(t, p, "app", p.Spec.Containers[0].Image, img)
}

func onlyPod(t *testing.T, ns string) *corev1.Pod {
	t.Helper()
	pods, err := shared.Cluster.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("%d Pods, want 1", len(pods.Items))
	}
	return &pods.Items[0]
}

// TestTenPodsOfOneNewImage: whoever makes them, ten Pods of an image that nobody
// has scanned are one scan, and none of them is told that it is pending.
func TestTenPodsOfOneNewImage(t *testing.T) {
	const ten = 10
	t.Run("of a Deployment", func(t *testing.T) {
		ns := namespace(t, denyPolicy)
		img := slowImage(t, slowScan)
		create(t, strings.Replace(deployment(ns, img.Ref), "spec:\n", fmt.Sprintf("spec:\n  replicas: %d\n", ten), 1)).admitted(t)
		eventually(t, patience, func() error {
			if d := getDeployment(t, ns); d.Status.AvailableReplicas != ten {
				return fmt.Errorf("%d are available: %+v", d.Status.AvailableReplicas, d.Status.Conditions)
			}
			return nil
		})
		if denials := failedCreates(t, ns); len(denials) > 0 {
			t.Errorf("the controller was denied first: %s", denials[0])
		}
	})
	t.Run("of nobody", func(t *testing.T) {
		ns := namespace(t, denyPolicy)
		img := slowImage(t, slowScan)
		answers := make(chan answer, ten)
		for n := range ten {
			manifest := pod(ns, fmt.Sprintf("app-%d", n), img.Ref)
			go func() { answers <- create(t, manifest) }()
		}
		for range ten {
			if a := <-answers; a.err != nil {
				t.Errorf("not admitted: %s (%v)", a.output, a.err)
			}
		}
	})
}

func TestDeploymentWithSlowScanIsRetriedWhenNobodyWaits(t *testing.T) {
	restart(t, shared.System.Mutator, "--wait=0s")
	ns := namespace(t, denyPolicy)
	img := slowImage(t, slowScan)
	began := time.Now()
	create(t, deployment(ns, img.Ref)).admitted(t)
	took := available(t, ns, slowScan+40*time.Second)

	scan, err := shared.System.ScanTime(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if scan < slowScan {
		t.Fatalf("the scan took %v only: the test shows nothing", scan)
	}
	denials := failedCreates(t, ns)
	if len(denials) == 0 {
		t.Error("the controller was never denied")
	}
	for _, d := range denials {
		if !strings.Contains(d, "scan report is pending") {
			t.Errorf("the controller was denied, but not as pending: %s", d)
		}
	}
	after := took - scan
	t.Logf("a Deployment, nobody waiting: created to available %.1f s, the scan itself %.1f s, so %.1f s after the report (from the start %.1f s)",
		took.Seconds(), scan.Seconds(), after.Seconds(), time.Since(began).Seconds())
	if after > 30*time.Second {
		t.Errorf("admitted %v after the report, want 30 s at most", after)
	}
}

// A tag in a template is read anew for each Pod, and the Pod that there is keeps its
// digest, whatever is changed of it.
func TestTwoPodsOfADeploymentWhoseTagMoved(t *testing.T) {
	ns := namespace(t, denyPolicy)
	first := sample(t, registry.Fixed)
	settle(t, pod(ns, "known", first.Ref)).admitted(t)
	if _, err := shared.Cluster.Kubectl(t.Context(), "delete", "pod", "-n", ns, "known", "--wait"); err != nil {
		t.Fatal(err)
	}
	create(t, deployment(ns, first.Ref)).admitted(t)
	available(t, ns, patience)
	before := onlyPod(t, ns)
	second := pushLabelled(t, registry.Fixed, "v1")
	for _, args := range [][]string{
		{"scale", "deployment/app", "--replicas=2"},
		{"label", "pod/" + before.Name, "touched=yes"},
	} {
		if out, err := shared.Cluster.Kubectl(t.Context(), append(args, "-n", ns)...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	eventually(t, patience, func() error {
		if d := getDeployment(t, ns); d.Status.AvailableReplicas != 2 {
			return fmt.Errorf("%d are available: %+v", d.Status.AvailableReplicas, d.Status.Conditions)
		}
		return nil
	})
	pods, err := shared.Cluster.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		want := second
		if p.Name == before.Name {
			want = first
		}
		pinned(t, &p, "app", p.Spec.Containers[0].Image, want)
	}
}

// The cluster's only node takes all, so a DaemonSet has one Pod, and not none.
func TestADaemonSetGetsItsPod(t *testing.T) {
	ns := namespace(t, denyPolicy)
	img := sample(t, registry.Fixed)
	create(t, strings.Replace(deployment(ns, img.Ref), "kind: Deployment", "kind: DaemonSet", 1)).admitted(t)
	eventually(t, patience, func() error {
		d, err := shared.Cluster.Client.AppsV1().DaemonSets(ns).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.NumberReady != 1 {
			return fmt.Errorf("%d of %d are ready", d.Status.NumberReady, d.Status.DesiredNumberScheduled)
		}
		return nil
	})
	p := onlyPod(t, ns)
	pinned(t, p, "app", p.Spec.Containers[0].Image, img)
}

// The expansion template judges workloads when they are created, which tells a
// user at once what the ReplicaSet controller would only say in an event.
func TestDeploymentIsJudgedAtCreation(t *testing.T) {
	applyExpansion(t)
	ns := namespace(t, expandedPolicy)
	clean, vulnerable := sample(t, registry.Fixed), push(t, image(t, registry.Vulnerable), "vulnerable")
	// Workload templates are not pinned and nobody waits for their scans: have
	// both images scanned by Pods first.
	settle(t, pod(ns, "clean", clean.Ref)).admitted(t)
	settle(t, pod(ns, "vulnerable", vulnerable.Ref)).denied(t, advisory...)

	want := append([]string{"[" + constraintOf(expandedPolicy) + "]", "[Implied by ", "Image '" + vulnerable.Ref + "' REJECTED."}, advisory...)
	create(t, deployment(ns, vulnerable.Ref)).denied(t, want...)
	create(t, deployment(ns, clean.Ref)).admitted(t)
	available(t, ns, patience)
}
