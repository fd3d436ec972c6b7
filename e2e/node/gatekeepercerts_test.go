package node_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/node"
	"github.com/imagegate/imagegate/e2e/pki"
)

const (
	gatekeeperHost = "gatekeeper-webhook-service." + node.GatekeeperNamespace + ".svc"
	gatekeeperTLS  = "gatekeeper-webhook-server-cert" // the Secret of its certificates

	// fewPods a second are 50 requests, with callsPerSecond 200: two of Gatekeeper's
	// webhook and three providers on two processors judge no more Pods without delay.
	fewPods = 17
)

// twoGatekeepers installs Gatekeeper with two replicas, its answers kept no longer than
// a second. What keeps the cluster itself alive is exempt: it fails closed. The kubelet is
// quick from then on: a new Pod's certificate is not what is tested.
func twoGatekeepers(t *testing.T, values ...string) {
	t.Helper()
	kubelet(t, 2*time.Second)
	gatekeeper(t, append([]string{
		"externaldataProviderResponseCacheTTL=1s", "replicas=2", "auditInterval=30",
		`validatingWebhookExemptNamespacesLabels.kubernetes\.io/metadata\.name={kube-system,kube-node-lease}`,
	}, values...)...)
	release{namespace: node.GatekeeperNamespace}.settled(t)
}

func kubelet(t *testing.T, syncs time.Duration) {
	t.Helper()
	if err := on.StartKubelet(t.Context(), syncs); err != nil {
		t.Fatal(err)
	}
}

// gatekeepersGivenCertificate is replaced with its CA under load, as whoever gives
// Gatekeeper its certificates can do it: old and new CA published together, then the
// leaf, then, when every Pod has it, the old CA withdrawn. Nothing may be lost.
func gatekeepersGivenCertificate(t *testing.T, r release, good, bad string) {
	authorities, pairs := [2]*pki.Authority{}, [2]pki.Pair{}
	for i := range authorities {
		var err error
		if authorities[i], err = pki.New(fmt.Sprintf("imagegate-e2e-gatekeeper-%d", i+1)); err != nil {
			t.Fatal(err)
		}
		if pairs[i], err = authorities[i].IssueFor([]string{gatekeeperHost}, gatekeeperHost); err != nil {
			t.Fatal(err)
		}
	}
	give := func(i int) {
		t.Helper()
		encode := base64.StdEncoding.EncodeToString
		kubectl(t, "-n", node.GatekeeperNamespace, "patch", "secret", gatekeeperTLS, "--type=merge", "-p", fmt.Sprintf(
			`{"data": {"tls.crt": %q, "tls.key": %q, "ca.crt": %q, "ca.key": null}}`, encode(pairs[i].Cert), encode(pairs[i].Key), encode(authorities[i].PEM)))
	}
	publish := func(bundle []byte) {
		t.Helper()
		for kind, hooks := range map[string]int{"validating": 2, "mutating": 1} {
			var patch []string
			for i := range hooks {
				patch = append(patch, fmt.Sprintf(`{"op": "add", "path": "/webhooks/%d/clientConfig/caBundle", "value": %q}`, i, base64.StdEncoding.EncodeToString(bundle)))
			}
			kubectl(t, "patch", kind+"webhookconfiguration", "gatekeeper-"+kind+"-webhook-configuration", "--type=json", "-p", "["+strings.Join(patch, ",")+"]")
		}
	}
	twoGatekeepers(t, "controllerManager.disableCertRotation=true,audit.disableCertRotation=true")
	give(0)
	publish(authorities[0].PEM)
	eventually(t, func() error { return gatekeepersServe(pairs[0]) })
	kubelet(t, time.Minute)
	enforcing(t, "rotation", bad)
	eventually(t, func() error { return ask(t.Context(), "rotation", good) })

	began := time.Now()
	pod := newGatekeeperPod(t, r.namespace, "rotation", pinned(t))
	pod.shows(t, pairs[0])
	warm(t, pod)
	load, calls := startLoad(t, fewPods, "rotation", good, bad), startCalls(t, "the provider", callsPerSecond, pod.call)
	publish(append(append([]byte{}, authorities[1].PEM...), authorities[0].PEM...))
	time.Sleep(5 * time.Second) // all who look have both
	given := time.Now()
	give(1)
	pod.shows(t, pairs[:]...)
	kubectl(t, "-n", r.namespace, "delete", "pod", "imagegate-1", "--wait=false")
	took := eventually(t, func() error { return gatekeepersServe(pairs[1]) })
	t.Logf("Gatekeeper's Pods served the new certificate %.0f s after it was given", took.Seconds())
	// Audit's Pod serves nothing: the longest that a kubelet takes.
	time.Sleep(time.Until(given.Add(100 * time.Second)))
	publish(authorities[1].PEM)
	pod.shows(t, pairs[1])
	r.settled(t)
	time.Sleep(10 * time.Second)
	const during = "Gatekeeper's given certificate and its CA replaced, and the replica restarted"
	load.end(t, during)
	calls.end(t, during)
	auditAsked(t, began)
}

// gatekeepersOwnCertificate is made anew with its CA by Gatekeeper. It publishes the
// new CA at once, and its Pods serve the old certificate until the kubelet has brought
// them the new one (open-policy-agent/cert-controller#50): the API server cannot call it
// meanwhile, and it fails closed. None of that may come from the provider: whatever
// certificate a Pod of Gatekeeper's can show, it is answered.
func gatekeepersOwnCertificate(t *testing.T, r release, good, bad string) {
	twoGatekeepers(t)
	kubelet(t, time.Minute)
	enforcing(t, "rotation", bad)
	eventually(t, func() error { return ask(t.Context(), "rotation", good) })
	own := func() (pair pki.Pair, ca string) {
		t.Helper()
		s, err := on.Client.CoreV1().Secrets(node.GatekeeperNamespace).Get(t.Context(), gatekeeperTLS, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return pki.Pair{Cert: s.Data["tls.crt"], Key: s.Data["tls.key"]}, string(s.Data["ca.crt"])
	}
	before, oldCA := own()

	began := time.Now()
	pod := newGatekeeperPod(t, r.namespace, "rotation", pinned(t))
	pod.shows(t, before)
	warm(t, pod)
	// What Gatekeeper's webhook would judge is refused for a while, Leases and the
	// kubelet's questions too: the Pods are few, and the calls make up for them.
	load, calls := startLoad(t, 5, "rotation", good, bad), startCalls(t, "the provider", podsPerSecond+callsPerSecond, pod.call)
	kubectl(t, "-n", node.GatekeeperNamespace, "patch", "secret", gatekeeperTLS, "--type=merge", "-p", `{"data": null}`)
	var after pki.Pair
	eventually(t, func() error {
		var ca string
		if after, ca = own(); ca == "" || ca == oldCA {
			return errors.New("Gatekeeper has no new CA yet")
		}
		return nil
	})
	made := time.Now()
	eventually(t, func() error {
		c, err := on.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "gatekeeper-validating-webhook-configuration", metav1.GetOptions{})
		if err == nil && strings.Contains(string(c.Webhooks[0].ClientConfig.CABundle), strings.TrimSpace(oldCA)) {
			err = errors.New("Gatekeeper has not published its new CA yet")
		}
		return err
	})
	published := time.Since(made)
	// No Pod of Gatekeeper's is ready with the new certificate as soon as that.
	beginning := newGatekeeperPod(t, r.namespace, "rotation", pinned(t))
	beginning.shows(t, after)
	counts := counted(t, beginning)
	fmt.Printf("FIGURE Gatekeeper published its new CA %.1f s after it had made it, and %.1f s later it counted at every replica\n", published.Seconds(), counts.Seconds()) //nolint:forbidigo // a figure
	pod.shows(t, before, after)
	took := eventually(t, func() error {
		return errors.Join(gatekeepersServe(after), ask(t.Context(), "rotation", good))
	})
	// Not before: the API server refuses what tells the node that a Pod is gone.
	kubectl(t, "-n", r.namespace, "delete", "pod", "imagegate-1", "--wait=false")
	const during = "Gatekeeper's own certificate and its CA made anew, and the replica restarted"
	fmt.Printf("FIGURE %s: the API server could call Gatekeeper again after %.0f s\n", during, took.Seconds()) //nolint:forbidigo // a figure
	enforcing(t, "rotation", bad)
	r.settled(t)
	calls.end(t, during)
	unjudged := load.excused(func(message string) bool {
		return strings.Contains(message, `failed calling webhook "validation.gatekeeper.sh"`)
	})
	load.end(t, fmt.Sprintf("%s (%d more the API server did not get judged: it could not call Gatekeeper)", during, unjudged))
	auditAsked(t, began)
	gatekeeper(t, "externaldataProviderResponseCacheTTL=1s")
}

// warm has each replica, whichever the Service chooses, have the report in memory: the
// first look of one is not what is tested.
func warm(t *testing.T, pod *gatekeeperPod) {
	t.Helper()
	eventually(t, func() error {
		for range 30 {
			if err := pod.call(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
}

// counted is how long after it was called a replica has last refused the certificate.
func counted(t *testing.T, pod *gatekeeperPod) (last time.Duration) {
	t.Helper()
	began := time.Now()
	for right := 0; right < 30; {
		switch err := pod.call(t.Context()); {
		case err == nil, errors.Is(err, errAgain): // it was answered
			right++
		case time.Since(began) > patience:
			t.Fatal(err)
		default:
			t.Logf("%.1f s: %v", time.Since(began).Seconds(), err)
			right, last = 0, time.Since(began)
		}
	}
	return last
}

// pinned is the good image as Gatekeeper sees it.
func pinned(t *testing.T) string {
	t.Helper()
	image, err := on.PushProgram(t.Context(), on.Programs().App, "private/app", "1")
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// gatekeepersServe is nil when each Pod of Gatekeeper's webhook serves that certificate.
func gatekeepersServe(pair pki.Pair) error {
	want, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return err
	}
	pods, err := on.Client.CoreV1().Pods(node.GatekeeperNamespace).List(context.Background(), metav1.ListOptions{LabelSelector: "control-plane=controller-manager"})
	if err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return errors.New("Gatekeeper has no Pods")
	}
	for _, p := range pods.Items {
		served, err := servedAt(p.Status.PodIP + ":8443")
		if err != nil {
			return err
		}
		if !bytes.Equal(served.Raw, want.Certificate[0]) {
			return fmt.Errorf("%s serves another certificate yet", p.Name)
		}
	}
	return nil
}

// auditAsked fails the test when audit met a certificate that did not count.
func auditAsked(t *testing.T, since time.Time) {
	t.Helper()
	log := kubectl(t, "-n", node.GatekeeperNamespace, "logs", "deployment/gatekeeper-audit", "--since-time="+since.UTC().Format(time.RFC3339))
	for line := range strings.Lines(log) {
		if strings.Contains(line, "x509:") || strings.Contains(line, "tls: ") {
			t.Errorf("audit says %s", line)
		}
	}
}
