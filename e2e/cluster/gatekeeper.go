package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/process"
)

// Gatekeeper says how Gatekeeper is run. Zero values mean what imagegate's
// documentation recommends, except for the audit interval (see there).
type Gatekeeper struct {
	// FailurePolicy of both webhooks: Fail by default. Gatekeeper's own
	// manifest says Ignore, which admits whatever takes too long.
	FailurePolicy string
	// ValidationTimeout and MutationTimeout of the webhooks: 3 s each by
	// default.
	ValidationTimeout, MutationTimeout time.Duration
	// AuditInterval is 5 s by default: the 60 s of a real cluster would make
	// tests wait.
	AuditInterval time.Duration
	// ResponseCacheTTL of external data answers; Gatekeeper's default, 3
	// minutes, when zero.
	ResponseCacheTTL time.Duration
}

func (g Gatekeeper) withDefaults() Gatekeeper {
	if g.FailurePolicy == "" {
		g.FailurePolicy = "Fail"
	}
	if g.ValidationTimeout == 0 {
		g.ValidationTimeout = 3 * time.Second
	}
	if g.MutationTimeout == 0 {
		g.MutationTimeout = 3 * time.Second
	}
	if g.AuditInterval == 0 {
		g.AuditInterval = 5 * time.Second
	}
	return g
}

const (
	gatekeeperNamespace = "gatekeeper-system"
	gatekeeperAccount   = "system:serviceaccount:gatekeeper-system:gatekeeper-admin"
)

// InstallGatekeeper installs Gatekeeper's manifest and runs its Deployments'
// containers as processes. The webhook configurations come last, when there is
// somebody to answer them.
func (c *Cluster) InstallGatekeeper(ctx context.Context) error {
	manifest, err := readManifest(c.opts.Binaries.GatekeeperManifest)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, manifest.static); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--selector=gatekeeper.sh/system=yes", "--timeout=60s"); err != nil {
		return fmt.Errorf("wait for Gatekeeper's CRDs: %w", err)
	}
	certs := c.path("gatekeeper-certs")
	if err := c.Webhooks.WriteDir(certs, "gatekeeper"); err != nil {
		return err
	}
	kubeconfig, err := c.kubeconfig("gatekeeper", gatekeeperAccount, "system:serviceaccounts", "system:serviceaccounts:"+gatekeeperNamespace)
	if err != nil {
		return err
	}
	var webhook string
	var ready []func() error
	for _, d := range manifest.deployments {
		ports, err := process.FreePorts(3)
		if err != nil {
			return err
		}
		pod, err := c.Client.CoreV1().Pods(gatekeeperNamespace).Create(ctx, d.pod(), metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create Gatekeeper's pod: %w", err)
		}
		p, err := c.runGatekeeper(pod, d.args, kubeconfig, certs, ports)
		if err != nil {
			return err
		}
		if d.serves {
			webhook = loopback("https", ports[0])
		}
		ready = append(ready, func() error { return c.wait(ctx, p, process.Healthy(loopback("http", ports[1])+"/readyz")) })
	}
	for _, r := range ready {
		if err := r(); err != nil {
			return err
		}
	}
	return c.installWebhooks(ctx, manifest, webhook)
}

// runGatekeeper runs the manager for pod, which Gatekeeper reads to own its
// status objects. Flags that come later in the list win over the manifest's.
func (c *Cluster) runGatekeeper(pod *corev1.Pod, args []string, kubeconfig, certs string, ports []int) (*process.Process, error) {
	cache := c.path(pod.Name, "api-cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	args = append(args,
		"--kubeconfig="+kubeconfig,
		"--disable-cert-rotation", "--cert-dir="+certs,
		"--host=127.0.0.1", "--port="+strconv.Itoa(ports[0]),
		"--health-addr=127.0.0.1:"+strconv.Itoa(ports[1]),
		"--prometheus-port="+strconv.Itoa(ports[2]),
		"--shutdown-delay=0", "--log-denies", "--api-cache-dir="+cache,
		"--audit-interval="+strconv.Itoa(int(c.opts.Gatekeeper.AuditInterval.Seconds())),
	)
	if ttl := c.opts.Gatekeeper.ResponseCacheTTL; ttl != 0 {
		args = append(args, "--external-data-provider-response-cache-ttl="+ttl.String())
	}
	p, err := c.run(process.Spec{
		Name: pod.Name,
		Path: c.opts.Binaries.Gatekeeper,
		Args: args,
		Env: []string{
			"POD_NAME=" + pod.Name, "POD_NAMESPACE=" + pod.Namespace,
			"NAMESPACE=" + pod.Namespace, "CONTAINER_NAME=manager",
		},
		Dir: c.path(pod.Name),
	})
	if err == nil {
		c.gatekeeper = append(c.gatekeeper, p)
	}
	return p, err
}

// RemoveGatekeeper takes away what InstallGatekeeper brought, with all objects of
// its kinds.
func (c *Cluster) RemoveGatekeeper(ctx context.Context) error {
	for _, kind := range []string{"validatingwebhookconfiguration", "mutatingwebhookconfiguration"} {
		if _, err := c.Kubectl(ctx, "delete", kind, "--selector=gatekeeper.sh/system=yes"); err != nil {
			return fmt.Errorf("delete Gatekeeper's %s: %w", kind, err)
		}
	}
	for _, p := range c.gatekeeper {
		p.Kill()
	}
	c.processes = slices.DeleteFunc(c.processes, func(p *process.Process) bool { return slices.Contains(c.gatekeeper, p) })
	c.gatekeeper = nil
	// Nobody is left to take finalizers away.
	for _, args := range [][]string{
		{"delete", "crd", "--selector=gatekeeper.sh/system=yes", "--timeout=60s"},
		{"delete", "crd", "--selector=gatekeeper.sh/constraint=yes", "--timeout=60s", "--ignore-not-found"},
		{"delete", "namespace", gatekeeperNamespace, "--timeout=60s"},
	} {
		if out, err := c.Kubectl(ctx, args...); err != nil {
			return fmt.Errorf("remove Gatekeeper: %s: %w", out, err)
		}
	}
	return nil
}
