package node_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/node"
)

// images pushes those of the story and returns their references by tag.
func images(t *testing.T) (good, bad string) {
	t.Helper()
	for name, binary := range map[string]string{"app": on.Programs().App, "vulnerable": on.Programs().Vulnerable} {
		if _, err := on.PushProgram(t.Context(), binary, "private/"+name, "1"); err != nil {
			t.Fatal(err)
		}
	}
	return node.Registry + "/private/app:1", node.Registry + "/private/vulnerable:1"
}

// healthy has `provider doctor` look at a release with which nothing is wrong.
func healthy(t *testing.T, r release) {
	t.Helper()
	provider := ownPrograms(t).Provider
	var out []byte
	var err error
	eventually(t, func() error { // what has just changed is settling
		cmd := exec.CommandContext(t.Context(), provider, "doctor", "--kubeconfig="+on.Kubectl.Kubeconfig, "-n", r.namespace)
		cmd.Env = []string{} // IMAGEGATE_... are settings of the node there
		if out, err = cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("provider doctor: %w\n%s", err, out)
		}
		return nil
	})
	t.Logf("provider doctor:\n%s", out)
}

// TestInstallation is one by Helm 4, before there is a Gatekeeper.
func TestInstallation(t *testing.T) {
	good, bad := images(t)
	began := time.Now()
	if err := on.Publish(t.Context(), "1.0.0"); err != nil {
		t.Fatal(err)
	}
	t.Logf("images and chart published after %.1f s", time.Since(began).Seconds())
	r := release{name: "imagegate", namespace: "imagegate-system", helm: on.Helm(4)}
	r.prepare(t)
	tenant(t, "shop")
	if _, err := on.Client.CoreV1().Pods("shop").Create(t.Context(), pod("old", bad), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	began = time.Now()
	r.upgrade(t, "1.0.0", "--set=view.enabled=true,inventory.enabled=true")
	t.Logf("helm install --wait without Gatekeeper: %.1f s", time.Since(began).Seconds())
	began = time.Now()
	gatekeeper(t)
	t.Logf("Gatekeeper: %.1f s", time.Since(began).Seconds())
	took := enforcing(t, "shop", bad)
	t.Logf("enforcing %.1f s after Gatekeeper is there", took.Seconds())

	t.Run("Story", func(t *testing.T) {
		var made *corev1.Pod
		// On a busy machine the scan may take longer than the mutator waits.
		eventually(t, func() (err error) {
			made, err = on.Client.CoreV1().Pods("shop").Create(t.Context(), pod("app", good), metav1.CreateOptions{})
			return err
		})
		if image := made.Spec.Containers[0].Image; !strings.Contains(image, "@sha256:") {
			t.Errorf("the image is %s: not pinned", image)
		}
		kubectl(t, "-n", "shop", "wait", "--for=condition=Ready", "pod/app", "--timeout=60s")
		if _, err := on.Client.CoreV1().Pods("shop").Create(t.Context(), pod("bad", bad), metav1.CreateOptions{}); rejected(err) != nil {
			t.Errorf("the vulnerable image: %v", err)
		} else {
			t.Log(err)
		}
		out, err := on.Kubectl.Run(t.Context(), nil, "-n", "shop", "debug", "app", "--image="+bad, "--profile=restricted", "-q", "--", "/vulnerable")
		if err == nil || !strings.Contains(out, "scan result is 'reject'") {
			t.Errorf("kubectl debug with the vulnerable image: %v\n%s", err, out)
		}
		if out, err := on.Kubectl.Run(t.Context(), nil, "-n", "shop", "debug", "app", "--image="+good, "--profile=restricted", "-q", "-c", "look", "--", "/app", "who"); err != nil {
			t.Errorf("kubectl debug with the good image: %v\n%s", err, out)
		}
	})
	t.Run("Pages", func(t *testing.T) { reportPages(t, r, "shop") })
	r.upgrade(t, "1.0.0") // the rest is of the defaults
	r.settled(t)
	t.Run("Doctor", func(t *testing.T) { healthy(t, r) })
	t.Run("Article", func(t *testing.T) { article(t, r, good, bad) })
	t.Run("Test", func(t *testing.T) { t.Log(r.run(t, "test", r.name)) })
	t.Run("GatekeeperComesAgain", func(t *testing.T) {
		long(t)
		if _, err := on.Helm(4).Run(t.Context(), "uninstall", "gatekeeper", "-n", node.GatekeeperNamespace, "--wait", "--timeout=2m"); err != nil {
			t.Fatal(err)
		}
		kubectl(t, "delete", "crd", "-l", "gatekeeper.sh/system=yes", "--wait=false", "--ignore-not-found")
		kubectl(t, "delete", "crd", "-l", "gatekeeper.sh/constraint=yes", "--wait=false", "--ignore-not-found")
		kubectl(t, "delete", "namespace", node.GatekeeperNamespace)
		gatekeeper(t)
		took := enforcing(t, "shop", bad)
		t.Logf("enforcing %.1f s after Gatekeeper is there again", took.Seconds())
	})
	r.uninstall(t)
}
