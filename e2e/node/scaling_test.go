package node_test

import (
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/node"
)

// TestScaling takes an installation from one replica to three and back, then to
// replicas that share a NATS, scaled by CPU and not, and back again, under load. What
// runs replicas is exchanged for something else at each of these steps: all old ones
// end while the new ones start. Nodes are drained, too.
func TestScaling(t *testing.T) {
	long(t)
	good, bad := images(t)
	gatekeeper(t)
	if err := on.Publish(t.Context(), "1.0.0"); err != nil {
		t.Fatal(err)
	}
	if err := on.InstallNATS(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenant(t, "scaling")
	r := release{name: "imagegate", namespace: "scaled", helm: on.Helm(4)}
	r.prepare(t)
	r.upgrade(t, "1.0.0")
	enforcing(t, "scaling", bad)
	eventually(t, func() error { return ask(t.Context(), "scaling", good) })

	step := func(during string, values ...string) {
		t.Helper()
		load := startLoad(t, 50, "scaling", good, bad)
		r.upgrade(t, "1.0.0", values...)
		r.settled(t)
		load.end(t, during)
	}
	step("from one replica to three", "--set=replicaCount=3")
	load := startLoad(t, 50, "scaling", good, bad)
	refused := drained(t, r.namespace)
	r.settled(t)
	load.end(t, "all of three replicas evicted, one after another")
	if refused == 0 {
		t.Error("all replicas could be evicted at once: there is no budget")
	}
	step("from three replicas to one")
	nats := "--set=nats.url=" + node.NATS
	step("from one replica to two that share a NATS, scaled by CPU", nats, "--set=autoscaling.enabled=true,worker.replicaCount=1,resources.requests.cpu=10m")
	step("from scaled by CPU to a number", nats, "--set=replicaCount=3,worker.replicaCount=1")
	step("from a NATS to one replica")
	r.uninstall(t)
}

// drained evicts the Pods of a namespace as kubectl drain does, and returns how often a
// budget refused that.
func drained(t *testing.T, namespace string) (refused int) {
	t.Helper()
	pods, err := on.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		eventually(t, func() error {
			err := on.Client.PolicyV1().Evictions(namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: namespace}})
			if apierrors.IsTooManyRequests(err) {
				refused++
			}
			return err
		})
	}
	return refused
}
