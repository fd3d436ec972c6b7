package node_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/pki"
)

// What certificates have to bear while they are replaced: Pods that the API server has
// judged, each of which is three requests (one to the webhook, one of Gatekeeper to the
// provider, one of the mutator), and calls of the webhook beside them.
const (
	podsPerSecond  = 50
	callsPerSecond = 150
)

// TestRotation replaces every leaf and every CA under load: those that the provider
// makes, those of a given Secret, and Gatekeeper's, with a kubelet that brings changes to
// Pods as late as Kubernetes has it. A replica restarts meanwhile.
func TestRotation(t *testing.T) {
	long(t)
	good, bad := images(t)
	gatekeeper(t, "externaldataProviderResponseCacheTTL=1s") // or the provider would hardly be asked
	if err := on.Publish(t.Context(), "1.0.0"); err != nil {
		t.Fatal(err)
	}
	// Kubernetes' default: what was changed reaches Pods up to a minute and more later.
	kubelet(t, time.Minute)
	t.Cleanup(func() {
		if err := on.StartKubelet(context.WithoutCancel(t.Context()), 2*time.Second); err != nil {
			t.Error(err)
		}
	})
	tenant(t, "rotation")
	r := release{name: "imagegate", namespace: "rotating", helm: on.Helm(4)}
	r.prepare(t)
	short := []string{"--set", "replicaCount=3,certificates.leafValidity=24s,certificates.caValidity=48s,certificates.propagation=3s,certificates.overlap=8s"}
	r.upgrade(t, "1.0.0", short...)
	enforcing(t, "rotation", bad)
	eventually(t, func() error { return ask(t.Context(), "rotation", good) })

	t.Run("Own", func(t *testing.T) {
		load, calls := startLoad(t, podsPerSecond, "rotation", good, bad), startWebhookCalls(t, callsPerSecond, r.namespace, "rotation", good)
		cas, leaves := map[string]bool{}, map[string]bool{}
		restarted := false
		for len(cas) < 3 || len(leaves) < 4 || !restarted {
			if time.Since(load.began) > patience {
				t.Fatalf("too little passed: %d CAs, %d leaves", len(cas), len(leaves))
			}
			s, err := on.Client.CoreV1().Secrets(r.namespace).Get(t.Context(), "imagegate-tls", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			cas[string(s.Data["ca.crt"])], leaves[string(s.Data["tls.crt"])] = true, true
			if len(cas) > 1 && !restarted {
				kubectl(t, "-n", r.namespace, "delete", "pod", "imagegate-1", "--wait=false")
				restarted = true
			}
			time.Sleep(500 * time.Millisecond)
		}
		r.settled(t)
		during := fmt.Sprintf("rotation of own certificates: %d bundles and %d leaves passed, and the replica restarted", len(cas), len(leaves))
		load.end(t, during)
		calls.end(t, during)
	})

	t.Run("Given", func(t *testing.T) {
		hosts := strings.Fields("imagegate imagegate.rotating imagegate.rotating.svc imagegate.rotating.svc.cluster.local localhost 127.0.0.1")
		for _, suffix := range []string{"", ".cluster.local"} {
			for i := range 3 {
				hosts = append(hosts, fmt.Sprintf("imagegate-%d.imagegate-peers.rotating.svc%s", i, suffix))
			}
		}
		// Certificates of an hour: nobody makes the old ones anew once they are given.
		r.upgrade(t, "1.0.0", "--set", "replicaCount=3,certificates.propagation=3s")
		r.settled(t)
		give := func(name string) {
			authority, err := pki.New(name)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := authority.IssueFor(hosts, "imagegate")
			if err != nil {
				t.Fatal(err)
			}
			encode := base64.StdEncoding.EncodeToString
			apply(t, fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: given, namespace: %s}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s, ca.crt: %s}\n",
				r.namespace, encode(pair.Cert), encode(pair.Key), encode(authority.PEM)))
		}
		give("imagegate-e2e-given-1")
		load, calls := startLoad(t, podsPerSecond, "rotation", good, bad), startWebhookCalls(t, callsPerSecond, r.namespace, "rotation", good)
		r.upgrade(t, "1.0.0", "--set", "replicaCount=3,certificates.mode=secret,certificates.secretName=given,certificates.propagation=3s")
		r.settled(t)
		load.end(t, "from own certificates to given ones")
		calls.end(t, "from own certificates to given ones")

		load, calls = startLoad(t, podsPerSecond, "rotation", good, bad), startWebhookCalls(t, callsPerSecond, r.namespace, "rotation", good)
		began := time.Now()
		give("imagegate-e2e-given-2")
		took := eventually(t, func() error { return serves("imagegate-e2e-given-2") })
		t.Logf("the new certificate was served %.0f s after it was given", took.Seconds())
		time.Sleep(max(0, 5*time.Second-time.Since(began)))
		load.end(t, "a given certificate and its CA replaced")
		calls.end(t, "a given certificate and its CA replaced")
	})

	t.Run("Gatekeepers", func(t *testing.T) {
		// Ours last, and Gatekeeper waits for the provider as long as its webhook has: two
		// processors for two of these, three providers and who asks all of them are slow.
		r.upgrade(t, "1.0.0", "--set", "replicaCount=3,certificates.propagation=3s,provider.timeoutSeconds=8")
		r.settled(t)
		t.Run("Given", func(t *testing.T) { gatekeepersGivenCertificate(t, r, good, bad) })
		t.Run("Own", func(t *testing.T) { gatekeepersOwnCertificate(t, r, good, bad) })
	})
	r.uninstall(t)
}
