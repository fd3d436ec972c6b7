package cluster

import (
	"context"
	"strconv"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/imagegate/imagegate/e2e/pki"
	"github.com/imagegate/imagegate/e2e/process"
)

// startTimeout bounds the wait for one process; a loaded machine is slow.
const startTimeout = 2 * time.Minute

func (c *Cluster) startEtcd(ctx context.Context) error {
	ports, err := process.FreePorts(3)
	if err != nil {
		return err
	}
	client, peer := loopback("http", ports[0]), loopback("http", ports[1])
	p, err := c.run(process.Spec{
		Name: "etcd",
		Path: c.opts.Binaries.Etcd,
		Args: []string{
			"--data-dir=" + c.path("etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=default=" + peer,
			// State is thrown away: waiting for the disk buys nothing.
			"--unsafe-no-fsync",
			"--log-level=warn",
		},
	})
	if err != nil {
		return err
	}
	c.etcd = client
	return c.wait(ctx, p, process.Healthy(client+"/health"))
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	port, err := process.FreePorts(1)
	if err != nil {
		return err
	}
	clientCA, err := c.write("apiserver/client-ca.crt", c.identity.PEM)
	if err != nil {
		return err
	}
	serving := c.path("apiserver")
	if err := c.identity.WriteDir(serving, "kube-apiserver"); err != nil {
		return err
	}
	signer, err := pki.SigningKey()
	if err != nil {
		return err
	}
	if c.tokenKey, err = c.write("apiserver/sa.key", signer); err != nil {
		return err
	}
	c.server = loopback("https", port[0])
	p, err := c.run(process.Spec{
		Name: "kube-apiserver",
		Path: c.opts.Binaries.KubeAPIServer,
		Args: []string{
			"--etcd-servers=" + c.etcd,
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port[0]),
			"--tls-cert-file=" + serving + "/tls.crt", "--tls-private-key-file=" + serving + "/tls.key",
			"--client-ca-file=" + clientCA,
			"--authorization-mode=RBAC",
			"--service-account-issuer=" + c.server,
			"--service-account-key-file=" + c.tokenKey,
			"--service-account-signing-key-file=" + c.tokenKey,
			"--service-cluster-ip-range=10.0.0.0/24",
			// A machine with only a loopback interface has no address to
			// advertise and no use for the kubernetes Service's endpoints.
			"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
			// Pods need no tokens: nothing runs in them. Without this each test
			// would first wait for its namespace's default account.
			"--disable-admission-plugins=ServiceAccount",
			"--allow-privileged=true",
		},
	})
	if err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	return c.wait(ctx, p, func(ctx context.Context) error {
		return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// connect makes the administrator's clients and kubeconfig.
func (c *Cluster) connect() error {
	var err error
	if c.Kubeconfig, err = c.kubeconfig("admin", "kubernetes-admin", "system:masters"); err != nil {
		return err
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	// Tests poll; client-go's default of 5 requests a second would be the
	// slowest part of them.
	c.Config.QPS, c.Config.Burst = 200, 400
	c.Config.WarningHandler = rest.NoWarnings{}
	if c.Client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return err
	}
	c.Dynamic, err = dynamic.NewForConfig(c.Config)
	return err
}

func (c *Cluster) startControllerManager(ctx context.Context) error {
	port, err := process.FreePorts(1)
	if err != nil {
		return err
	}
	kubeconfig, err := c.kubeconfig("controller-manager", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	p, err := c.run(process.Spec{
		Name: "kube-controller-manager",
		Path: c.opts.Binaries.KubeControllerManager,
		Args: []string{
			"--kubeconfig=" + kubeconfig, "--leader-elect=false",
			// As kubeadm sets it up: each controller acts as its own account,
			// which is what policies see as the user.
			"--use-service-account-credentials=true",
			"--service-account-private-key-file=" + c.tokenKey,
			"--controllers=deployment-controller,replicaset-controller,daemonset-controller,statefulset-controller," +
				"job-controller,cronjob-controller,replicationcontroller-controller,garbage-collector-controller,namespace-controller,serviceaccount-controller",
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port[0]),
			"--cert-dir=" + c.path("controller-manager"),
		},
	})
	if err != nil {
		return err
	}
	return c.wait(ctx, p, process.Healthy(loopback("https", port[0])+"/healthz"))
}

func (c *Cluster) wait(ctx context.Context, p *process.Process, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return p.Ready(ctx, check)
}

func loopback(scheme string, port int) string {
	return scheme + "://127.0.0.1:" + strconv.Itoa(port)
}
