package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/registry"
)

// ruleByTag is a rule that judges by tag, as those of Sysdig's admission controller may.
const ruleByTag = `deny_image["latest is not allowed"] { endswith(input.ScanReport.ImageAndTag, ":latest") }`

// applyRules makes a template of rules and a constraint of it for one namespace.
func applyRules(t *testing.T, kind, rules, ns string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.rego")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	template, err := exec.CommandContext(ctx, shared.Programs.Provider, "template", "--rules", file, "--kind", kind).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Cluster.Apply(ctx, string(template)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteWith(t, "constrainttemplate", strings.ToLower(kind)) })
	if err := shared.Cluster.WaitTaken(ctx, cluster.Templates, strings.ToLower(kind)); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		return shared.Cluster.Apply(ctx, fmt.Sprintf(`
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: %s
metadata: {name: %s}
spec:
  match: {kinds: [{apiGroups: [""], kinds: [Pod]}], namespaces: [%s]}
`, kind, ns, ns))
	})
	t.Cleanup(func() { deleteWith(t, strings.ToLower(kind), ns) })
	if err := shared.Cluster.WaitTaken(ctx, cluster.ConstraintsOf(kind), ns); err != nil {
		t.Fatal(err)
	}
}

// The mutator pins before Gatekeeper judges; the rule must see what was written
// all the same, also once the tag has moved.
func TestLatestIsDeniedAfterPinning(t *testing.T) {
	ns := namespace(t, denyPolicy)
	applyRules(t, "NoLatest", ruleByTag, ns)
	img := image(t, registry.Fixed)
	latest, tagged := push(t, img, "latest"), push(t, img, "v1")
	eventuallyDenied(t, pod(ns, "latest", latest.Ref), "latest is not allowed")
	settle(t, pod(ns, "tagged", tagged.Ref)).admitted(t)
	p := getPod(t, ns, "tagged")
	pinned(t, p, "app", p.Spec.Containers[0].Image, tagged)

	// The Pod of an author who wrote the digest and says that it was the tag.
	claimed := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: claimed, annotations: {original-image.imagegate.dev/app: %q}}
spec:
  containers:
  - {name: app, image: %q}
`, ns, latest.Ref, latest.Pinned)
	settle(t, claimed).denied(t, "latest is not allowed")
}

// The kubelet runs static Pods whatever is said of their mirrors: only the node
// itself has its mirrors admitted, unpinned.
func TestMirrorPodOfANodeIsLeftAlone(t *testing.T) {
	ns := namespace(t, denyPolicy)
	img := sample(t, registry.Vulnerable)
	const node = "mirror-node"
	config, err := shared.Cluster.User("system:node:"+node, "system:nodes", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	mirror := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: static, annotations: {kubernetes.io/config.mirror: "7f3d"}}
spec:
  nodeName: %s
  containers:
  - {name: app, image: %q}
`, ns, node, img.Ref)
	settle(t, mirror).denied(t, advisory...)
	file := filepath.Join(t.TempDir(), "mirror.yaml")
	if err := os.WriteFile(file, []byte(mirror), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := shared.Cluster.Kubectl(ctx, "--kubeconfig="+config, "create", "-f", file); err != nil {
		t.Fatalf("the node's own mirror Pod: %v: %s", err, out)
	}
	got, err := shared.Cluster.Client.CoreV1().Pods(ns).Get(ctx, "static", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if image := got.Spec.Containers[0].Image; image != img.Ref {
		t.Errorf("the mirror Pod names %s, want %s", image, img.Ref)
	}
}

// A manifest that is applied again says nothing new, although its tag has moved:
// the Pod goes on with the image that it was admitted with.
func TestAppliedAgainAfterTheTagMoved(t *testing.T) {
	ns := namespace(t, denyPolicy)
	first := sample(t, registry.Fixed)
	manifest := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: app}
spec:
  initContainers:
  - {name: init, image: %[2]q}
  containers:
  - {name: app, image: %[2]q}
`, ns, first.Ref)
	apply := func(args ...string) {
		t.Helper()
		out, err := shared.Cluster.KubectlInput(t.Context(), strings.NewReader(manifest), append([]string{"apply", "-f", "-"}, args...)...)
		if err != nil {
			t.Fatalf("apply %q: %v: %s", args, err, out)
		}
	}
	settle(t, pod(ns, "known", first.Ref)).admitted(t)
	apply()
	second := pushLabelled(t, registry.Fixed, "v1")
	n := 0
	eventually(t, patience, func() error {
		n++
		name := fmt.Sprintf("after-%d", n)
		settle(t, pod(ns, name, second.Ref)).admitted(t)
		if got := getPod(t, ns, name).Spec.Containers[0].Image; got != second.Pinned {
			return fmt.Errorf("the Pod runs %s, want %s", got, second.Pinned)
		}
		return nil
	})
	still := func(after string) *corev1.Pod {
		t.Helper()
		p := getPod(t, ns, "app")
		for annotation, image := range map[string]string{"init": p.Spec.InitContainers[0].Image, "app": p.Spec.Containers[0].Image} {
			if written := p.Annotations["original-image.imagegate.dev/"+annotation]; image != first.Pinned || written != first.Ref {
				t.Errorf("after %s %s runs %s and was written %q, want %s and %s", after, annotation, image, written, first.Pinned, first.Ref)
			}
		}
		return p
	}
	apply()
	still("apply")
	apply("--server-side", "--force-conflicts")
	p := still("a server-side apply")
	p.Annotations = nil
	p.Spec.InitContainers[0].Image, p.Spec.Containers[0].Image = first.Ref, first.Ref
	if _, err := shared.Cluster.Client.CoreV1().Pods(ns).Update(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	still("a replacement without annotations")
}
