package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/node"
)

// patience bounds every wait for something that must come.
const patience = 2 * time.Minute

// release is imagegate, installed by one of the two Helms.
type release struct {
	name, namespace string
	helm            node.Helm
}

// prepare makes the release's namespace.
func (r release) prepare(t *testing.T) {
	t.Helper()
	if err := on.Prepare(t.Context(), r.namespace); err != nil {
		t.Fatal(err)
	}
	furnished(t, r.namespace)
}

// furnished waits until a namespace has what controllers put into each one: who lists
// all objects before and after lists those both times.
func furnished(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, func() error {
		_, account := on.Client.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "default", metav1.GetOptions{})
		_, authorities := on.Client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
		return errors.Join(account, authorities)
	})
}

// upgrade installs a version, or upgrades to it.
func (r release) upgrade(t *testing.T, version string, args ...string) {
	t.Helper()
	if _, err := r.helm.Run(t.Context(), r.arguments(t, version, args...)...); err != nil {
		t.Fatalf("%v\n%s", err, on.Look(t.Context(), r.namespace))
	}
}

func (r release) arguments(t *testing.T, version string, args ...string) []string {
	t.Helper()
	install, err := on.Install(r.name, r.namespace, version)
	if err != nil {
		t.Fatal(err)
	}
	return append(install, args...)
}

// uninstall takes it away, to its last Pod: the next test begins with what is there.
func (r release) uninstall(t *testing.T) {
	t.Helper()
	r.run(t, "uninstall", r.name, "--wait", "--timeout=3m")
	r.settled(t)
}

// settled waits until Pods that were replaced have ended.
func (r release) settled(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		pods, err := on.Client.CoreV1().Pods(r.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.DeletionTimestamp != nil {
				return fmt.Errorf("%s is still ending", p.Name)
			}
		}
		return nil
	})
}

// gatekeeper installs Gatekeeper, if no test has, or gives it values of its chart.
func gatekeeper(t *testing.T, values ...string) {
	t.Helper()
	if _, err := on.Client.CoreV1().Namespaces().Get(t.Context(), node.GatekeeperNamespace, metav1.GetOptions{}); err == nil && len(values) == 0 {
		return
	}
	if err := on.InstallGatekeeper(t.Context(), on.Helm(4), values...); err != nil {
		t.Fatal(err)
	}
}

// enforcing waits until the vulnerable image is denied for what was found.
func enforcing(t *testing.T, namespace, bad string) time.Duration {
	t.Helper()
	return eventually(t, func() error { return rejected(ask(t.Context(), namespace, bad)) })
}

func (r release) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.helm.Run(t.Context(), append(args, "-n", r.namespace)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, on.Look(t.Context(), r.namespace))
	}
	return out
}

func apply(t *testing.T, manifests string) {
	t.Helper()
	if err := on.Kubectl.Apply(t.Context(), manifests); err != nil {
		t.Fatal(err)
	}
}

// kubectl is kubectl for what must work.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := on.Kubectl.Run(t.Context(), nil, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func eventually(t *testing.T, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	var err error
	for time.Since(began) < patience {
		if err = check(); err == nil {
			return time.Since(began)
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("within %s: %v", patience, err)
	return 0
}

// tenant makes a namespace with the registry's password in it.
func tenant(t *testing.T, name string) {
	t.Helper()
	if err := on.Tenant(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	furnished(t, name)
}

func pod(name, image string) *corev1.Pod {
	grace := int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}}, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "app", Image: image}},
		},
	}
}

// serial makes each question one that Gatekeeper has not had.
var serial atomic.Int64

// ask has the API server judge a Pod without making it.
func ask(ctx context.Context, namespace, image string) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	_, err := on.Client.CoreV1().Pods(namespace).Create(ctx, pod(fmt.Sprintf("ask-%d", serial.Add(1)), image), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// rejected is nil for an error that denies an image for what a scan found.
func rejected(err error) error {
	if err != nil && strings.Contains(err.Error(), "scan result is 'reject'") {
		return nil
	}
	return errors.Join(errors.New("not denied for what was found"), err)
}

// serves is nil when provider and webhook serve a certificate of that authority.
func serves(authority string) error {
	for _, port := range []string{"443", "8443"} {
		service, err := on.Client.CoreV1().Services("rotating").Get(context.Background(), "imagegate", metav1.GetOptions{})
		if err != nil {
			return err
		}
		served, err := servedAt(service.Spec.ClusterIP + ":" + port)
		if err != nil {
			return err
		}
		if issuer := served.Issuer.CommonName; issuer != authority {
			return fmt.Errorf("port %s serves a certificate of %s", port, issuer)
		}
	}
	return nil
}

// servedAt is the certificate that is served there, whoever made it.
func servedAt(address string) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], conn.Close()
}

// long leaves what takes minutes to `make node`.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out here (-short): `make node` does without it")
	}
}
