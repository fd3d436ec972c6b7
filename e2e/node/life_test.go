package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/inventory"
	"github.com/imagegate/imagegate/e2e/node"
)

func everything(t *testing.T) map[string]bool {
	t.Helper()
	found, err := inventory.Take(t.Context(), on.Client.Discovery(), on.Dynamic)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// gone is nil once there is nothing beside what was there before, and all of that.
func gone(t *testing.T, before map[string]bool) {
	t.Helper()
	eventually(t, func() error {
		d := inventory.Differ(before, everything(t))
		// The test itself has ended Gatekeeper's Pods.
		d = slices.DeleteFunc(d, func(name string) bool { return strings.Contains(name, "/pods/"+node.GatekeeperNamespace+"/") })
		if len(d) > 0 {
			return fmt.Errorf("not as before: %v", d)
		}
		return nil
	})
}

// TestLife is an installation's, by each Helm, under load: upgrade, rollback, restart
// of everything, uninstallation, and another installation after it. With -short Helm 3
// does less.
func TestLife(t *testing.T) {
	good, bad := images(t)
	gatekeeper(t)
	for _, version := range []string{"1.0.0", "1.1.0"} {
		if err := on.Publish(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	tenant(t, "life")
	for _, major := range []int{4, 3} {
		t.Run(fmt.Sprintf("Helm%d", major), func(t *testing.T) {
			r := release{name: "gate", namespace: fmt.Sprintf("gate-of-helm-%d", major), helm: on.Helm(major)}
			r.prepare(t)
			before := everything(t)
			began := time.Now()
			r.upgrade(t, "1.0.0")
			installed := time.Since(began)
			enforcing(t, "life", bad)
			fmt.Printf("FIGURE from helm %d install to enforcing: %.1f s, of which Helm %.1f s\n", major, time.Since(began).Seconds(), installed.Seconds()) //nolint:forbidigo // a figure
			eventually(t, func() error { return ask(t.Context(), "life", good) })

			load := startLoad(t, 50, "life", good, bad)
			time.Sleep(time.Second) // connections are open
			at := time.Now()
			r.upgrade(t, "1.1.0", "--set", "log.level=debug", "--set", `scanRules.alwaysReject[0]=registry.example.com:5000/private/unwanted`)
			eventually(t, func() error {
				if err := ask(t.Context(), "life", "registry.example.com:5000/private/unwanted:1"); err == nil || !strings.Contains(err.Error(), "registry.example.com:5000/private/unwanted") {
					return fmt.Errorf("the upgrade's policy is not in force: %w", err)
				}
				return nil
			})
			if gone := deletions(t, at, "providers", "constrainttemplates", "imagescanpolicy", "mutatingwebhookconfigurations"); len(gone) > 0 {
				t.Errorf("the upgrade deleted %v", gone)
			}
			r.settled(t)
			load.end(t, fmt.Sprintf("upgrade by Helm %d to another version, with other values", major))

			if testing.Short() && major == 3 {
				r.remove(t, "life", bad, before)
				return
			}
			load = startLoad(t, 50, "life", good, bad)
			r.run(t, "rollback", r.name, "1", "--wait", "--timeout=3m")
			eventually(t, func() error {
				out := kubectl(t, "get", "imagescanpolicy", "-o", "json")
				if strings.Contains(out, "private/unwanted") {
					return errors.New("the Constraint is still that of the upgrade")
				}
				return nil
			})
			r.settled(t)
			load.end(t, fmt.Sprintf("rollback by Helm %d", major))

			t.Run("EverythingRestarts", func(t *testing.T) {
				began := time.Now()
				for _, namespace := range []string{node.GatekeeperNamespace, r.namespace} {
					kubectl(t, "-n", namespace, "delete", "pods", "--all", "--grace-period=0", "--force")
				}
				for _, namespace := range []string{node.GatekeeperNamespace, r.namespace} {
					kubectl(t, "-n", namespace, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=2m")
				}
				enforcing(t, "life", bad)
				eventually(t, func() error { return ask(t.Context(), "life", good) })
				t.Logf("Gatekeeper and imagegate were ended at once; Pods are judged again after %.1f s", time.Since(began).Seconds())
			})
			t.Run("Test", func(t *testing.T) { r.run(t, "test", r.name) })

			r.remove(t, "life", bad, before)
		})
	}
}

// remove uninstalls it, and waits until all is as before.
func (r release) remove(t *testing.T, namespace, bad string, before map[string]bool) {
	t.Helper()
	// While it goes Pods may be denied for a moment, but only for as long.
	r.run(t, "uninstall", r.name, "--wait", "--timeout=3m")
	took := eventually(t, func() error { return ask(t.Context(), namespace, bad) })
	t.Logf("after the uninstallation anything is admitted in %.1f s", took.Seconds())
	gone(t, before)
}

// TestAFailedInstallation leaves nothing that the next one would stumble on.
func TestAFailedInstallation(t *testing.T) {
	long(t)
	_, bad := images(t)
	gatekeeper(t)
	if err := on.Publish(t.Context(), "1.0.0"); err != nil {
		t.Fatal(err)
	}
	tenant(t, "failed")
	for _, major := range []int{4, 3} {
		r := release{name: "failing", namespace: fmt.Sprintf("failed-by-helm-%d", major), helm: on.Helm(major)}
		r.prepare(t)
		before := everything(t)
		if _, err := r.helm.Run(t.Context(), r.arguments(t, "1.0.0", "--timeout=15s", "--set", "image.provider.digest=sha256:"+strings.Repeat("0", 64))...); err == nil {
			t.Error("an image that is not there was installed")
		}
		if err := ask(t.Context(), "failed", bad); err == nil {
			t.Log("Pods are admitted while nothing of it runs")
		} else if !strings.Contains(err.Error(), "failed calling webhook") {
			t.Errorf("while nothing of it runs: %v", err)
		}
		r.uninstall(t)
		gone(t, before)
		r.upgrade(t, "1.0.0")
		enforcing(t, "failed", bad)
		r.uninstall(t)
		gone(t, before)
		if _, err := on.Client.CoreV1().Namespaces().Get(t.Context(), r.namespace, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
}
