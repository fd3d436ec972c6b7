package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/imagegate/imagegate/e2e/registry"
)

const (
	// nudgedScan is long enough for the pauses of all controllers to have grown:
	// those of a ReplicaSet's end 20 and 41 s after the first try, those of a Job's
	// after 15 and 31 s.
	nudgedScan = 25 * time.Second
	// nudgeBound is far below what is left of any of these pauses.
	nudgeBound = 4 * time.Second

	nudgeAnnotation = "imagegate.dev/scanned-at"
)

// workload is one of the kinds whose controllers are nudged. The objects that
// carry the annotation are found by the label app.
type workload struct {
	kind, manifest string // with namespace and image left out
	annotated      schema.GroupVersionResource
}

func workloads() []workload {
	of := func(kind, api, spec, restart string, annotated schema.GroupVersionResource) workload {
		return workload{kind, `
apiVersion: ` + api + `
kind: ` + kind + `
metadata: {namespace: %[1]s, name: app, labels: {app: ` + kind + `}}
spec:
` + spec + `
  template:
    metadata: {labels: {app: ` + kind + `}}
    spec:
      restartPolicy: ` + restart + `
      containers: [{name: app, image: %[2]q}]
`, annotated}
	}
	apps := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
	}
	selector := func(kind string) string { return "  selector: {matchLabels: {app: " + kind + "}}" }
	return []workload{
		of("Deployment", "apps/v1", selector("Deployment"), "Always", apps("replicasets")),
		of("StatefulSet", "apps/v1", "  serviceName: app\n"+selector("StatefulSet"), "Always", apps("statefulsets")),
		of("DaemonSet", "apps/v1", selector("DaemonSet"), "Always", apps("daemonsets")),
		of("ReplicationController", "v1", "  selector: {app: ReplicationController}", "Always",
			schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}),
		of("Job", "batch/v1", "  backoffLimit: 6", "Never", schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}),
	}
}

// arrival is when a workload got its Pod, and how long after the end of the scan.
type arrival struct {
	at    time.Time
	after time.Duration
}

// pending creates one of each kind with a slow image, and returns when each got
// its Pod; those that do not within the bound are left out. The Pods that are created after them are denied meanwhile.
func pending(t *testing.T, ns string, img registry.Pushed, within time.Duration, pods ...string) map[string]arrival {
	t.Helper()
	began := time.Now()
	for _, w := range workloads() {
		create(t, fmt.Sprintf(w.manifest, ns, img.Ref)).admitted(t)
	}
	for _, p := range pods {
		create(t, p).denied(t, "scan report is pending")
	}
	made := map[string]arrival{}
	for len(made) < len(workloads()) && time.Since(began) < nudgedScan+within {
		found, err := shared.Cluster.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range found.Items {
			if kind := p.Labels["app"]; made[kind].at.IsZero() {
				made[kind] = arrival{at: time.Now()}
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	scan, err := shared.System.ScanTime(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if scan < nudgedScan {
		t.Fatalf("the scan took %v only: the test shows nothing", scan)
	}
	for _, message := range failedCreates(t, ns) {
		if !strings.Contains(message, "scan report is pending") {
			t.Errorf("a controller was denied, but not as pending: %s", message)
		}
	}
	for kind, a := range made {
		a.after = a.at.Sub(began) - scan
		made[kind] = a
	}
	return made
}

// nudgedObject returns what carries the annotation for a workload.
func nudgedObject(t *testing.T, ns string, w workload) metav1.Object {
	t.Helper()
	list, err := shared.Cluster.Dynamic.Resource(w.annotated).Namespace(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + w.kind})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 {
		t.Fatalf("%d %s of %s", len(list.Items), w.annotated.Resource, w.kind)
	}
	return &list.Items[0]
}

// TestNudge has one of each kind wait for a scan, without the nudge and with it.
func TestNudge(t *testing.T) {
	restart(t, shared.System.Mutator, "--wait=0s")
	without := pending(t, namespaceNamed(t, "not-nudged", denyPolicy), slowImage(t, nudgedScan), 20*time.Second)

	kubeconfig := allowNudge(t)
	restart(t, shared.System.Provider, "--nudge", "--nudge-kubeconfig="+kubeconfig)
	ns := namespaceNamed(t, "nudged", denyPolicy)
	img, err := shared.Images.Image(t.Context(), registry.Fixed, "amd64", t.Name()+" nudged")
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Registry.SlowLayers(img, nudgedScan); err != nil {
		t.Fatal(err)
	}
	bystander := bystanders(t, ns)
	// One who names an owner with a UID that is not its own: the garbage collector
	// would remove the Pod, had it been admitted.
	pushed := push(t, img, "nudged")
	forged := strings.Replace(pod(ns, "forged", pushed.Ref), "name: forged}",
		"name: forged, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: "+bystander.GetName()+", uid: 0c8b1e0e-2b8f-4f57-9a51-6d3c2f1f7a10, controller: true}]}", 1)
	with := pending(t, ns, pushed, 20*time.Second, forged)

	for _, w := range workloads() {
		says := func(made map[string]arrival) string {
			if a, ok := made[w.kind]; ok {
				return fmt.Sprintf("%.1f s", a.after.Seconds())
			}
			return "not within 20 s"
		}
		at, err := time.Parse(time.RFC3339, nudgedObject(t, ns, w).GetAnnotations()[nudgeAnnotation])
		if err != nil {
			t.Errorf("%s: %v", w.kind, err)
		}
		d := with[w.kind].at.Sub(at)
		t.Logf("%-22s Pod after the end of a scan of 25 s: %s, with the nudge %s, which is %.2f s after the annotation",
			w.kind, says(without), says(with), d.Seconds())
		if d < 0 || d > nudgeBound {
			t.Errorf("%s: no Pod within %v of the annotation", w.kind, nudgeBound)
		}
		if a := nudgedObject(t, "not-nudged", w).GetAnnotations(); a[nudgeAnnotation] != "" {
			t.Errorf("%s: annotated without the nudge: %v", w.kind, a)
		}
	}
	after := nudgedObject(t, ns, workload{kind: bystanderLabel, annotated: workloads()[0].annotated})
	if after.GetUID() != bystander.GetUID() || after.GetAnnotations()[nudgeAnnotation] != "" {
		t.Errorf("the owner that another Pod names is annotated: %v", after.GetAnnotations())
	}
}

const bystanderLabel = "bystander"

// bystanders makes a ReplicaSet without Pods and returns it.
func bystanders(t *testing.T, ns string) metav1.Object {
	t.Helper()
	create(t, fmt.Sprintf(`
apiVersion: apps/v1
kind: ReplicaSet
metadata: {namespace: %s, name: bystander, labels: {app: %s}}
spec:
  replicas: 0
  selector: {matchLabels: {app: bystander}}
  template:
    metadata: {labels: {app: bystander}}
    spec: {containers: [{name: app, image: none}]}
`, ns, bystanderLabel)).admitted(t)
	return nudgedObject(t, ns, workload{kind: bystanderLabel, annotated: workloads()[0].annotated})
}

// allowNudge applies what the nudge needs and returns a kubeconfig of the
// provider's account.
func allowNudge(t *testing.T) string {
	t.Helper()
	return allow(t, "nudge")
}

// allow gives the provider the rights that one of its packages says it needs, and
// returns its kubeconfig.
func allow(t *testing.T, provided string) string {
	t.Helper()
	manifests, err := os.ReadFile(filepath.Join(shared.Root, "provider", provided, "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Cluster.Apply(t.Context(), string(manifests)); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := shared.Cluster.User(providerUser)
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// TestNudgeRightsAllowNothingElse tries with the account of the nudge what RBAC
// alone would let it do.
func TestNudgeRightsAllowNothingElse(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", allowNudge(t))
	if err != nil {
		t.Fatal(err)
	}
	account, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ns := namespace(t, denyPolicy)
	object := bystanders(t, ns)
	patch := func(kind types.PatchType, v any) error {
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		_, err = account.AppsV1().ReplicaSets(ns).Patch(t.Context(), object.GetName(), kind, body, metav1.PatchOptions{FieldManager: "imagegate"})
		return err
	}
	type m = map[string]any
	meta := func(v m) m { return m{"metadata": v} }
	denied := func(err error) bool {
		return err != nil && strings.Contains(err.Error(), "the provider may change nothing but the annotation")
	}
	// The policy is in force some time after it was applied.
	eventually(t, patience, func() error {
		err := patch(types.MergePatchType, meta(m{"labels": m{"probe": fmt.Sprint(time.Now().UnixNano())}}))
		if err == nil {
			return errors.New("a label may be changed")
		}
		if !denied(err) {
			return fmt.Errorf("denied for another reason: %w", err)
		}
		return nil
	})
	for name, v := range map[string]m{
		"spec":               {"spec": m{"replicas": 1}},
		"template":           {"spec": m{"template": m{"spec": m{"hostPID": true}}}},
		"another annotation": meta(m{"annotations": m{"a": "b", nudgeAnnotation: "now"}}),
		"finalizers":         meta(m{"finalizers": []string{"a.b/c"}}),
		"owners":             meta(m{"ownerReferences": []m{{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}}}),
	} {
		if err := patch(types.MergePatchType, v); !denied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 { // a new annotation, and a change of it
		if err := patch(types.MergePatchType, meta(m{"uid": object.GetUID(), "annotations": m{nudgeAnnotation: fmt.Sprint(time.Now())}})); err != nil {
			t.Errorf("the annotation itself: %v", err)
		}
	}
	if err := patch(types.MergePatchType, meta(m{"uid": "another", "annotations": m{nudgeAnnotation: "now"}})); err == nil {
		t.Error("another's UID is no condition")
	} else {
		t.Logf("another's UID: %v", err)
	}
}
