package node

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/imagegate/imagegate/e2e/pki"
	"github.com/imagegate/imagegate/e2e/process"
)

func (n *Node) startEtcd(ctx context.Context) error {
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	p, err := n.run("etcd", n.controllers.Etcd, nil,
		"--data-dir=/var/lib/etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	if err != nil {
		return err
	}
	return ready(ctx, p, process.Healthy(client+"/health"))
}

// AuditedNamespace is one whose accounts' reading is in the audit log too.
const AuditedNamespace = "audited"

// audit has the API server write who changed what: one line of JSON for each request
// that changes something, and for each that an account of AuditedNamespace makes.
const audit = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:serviceaccounts:` + AuditedNamespace + `"]}
- {level: None, verbs: [get, list, watch]}
- {level: None, resources: [{group: "", resources: [events]}, {group: coordination.k8s.io}]}
- {level: Metadata}
`

// AuditLog is the path of the API server's audit log.
func (n *Node) AuditLog() string { return n.path("audit.log") }

func (n *Node) startAPIServer(ctx context.Context) error {
	serving := n.path("apiserver")
	hosts := []string{
		"127.0.0.1", address, apiService, "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	if err := n.identity.WriteDirFor(serving, hosts, "kube-apiserver"); err != nil {
		return err
	}
	if err := n.identity.WriteDir(n.path("kubelet-client"), "kube-apiserver-kubelet-client", "system:masters"); err != nil {
		return err
	}
	signer, err := pki.SigningKey()
	if err != nil {
		return err
	}
	if err := n.write("sa.key", string(signer)); err != nil {
		return err
	}
	if err := n.write("audit.yaml", audit); err != nil {
		return err
	}
	ca := filepath.Join(serving, "ca.crt")
	p, err := n.run("kube-apiserver", n.controllers.KubeAPIServer, nil,
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0", "--secure-port=6443", "--advertise-address="+address,
		"--tls-cert-file="+filepath.Join(serving, "tls.crt"), "--tls-private-key-file="+filepath.Join(serving, "tls.key"), "--client-ca-file="+ca,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+n.path("sa.key"), "--service-account-signing-key-file="+n.path("sa.key"),
		"--service-cluster-ip-range="+services,
		"--kubelet-client-certificate="+n.path("kubelet-client", "tls.crt"), "--kubelet-client-key="+n.path("kubelet-client", "tls.key"),
		"--kubelet-certificate-authority="+ca, "--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file="+n.path("audit.yaml"), "--audit-log-path="+n.AuditLog())
	if err != nil {
		return err
	}
	if err := n.administer(); err != nil {
		return err
	}
	return ready(ctx, p, func(ctx context.Context) error {
		return n.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// startControllers starts the controllers and the scheduler, which need not be
// waited for.
func (n *Node) startControllers(context.Context) error {
	for name, user := range map[string]string{"controller-manager": "system:kube-controller-manager", "scheduler": "system:kube-scheduler"} {
		if err := n.kubeconfig(name, user); err != nil {
			return err
		}
	}
	if _, err := n.run("kube-controller-manager", n.controllers.KubeControllerManager, nil,
		"--kubeconfig="+n.path("controller-manager.kubeconfig"), "--leader-elect=false",
		"--use-service-account-credentials=true", "--service-account-private-key-file="+n.path("sa.key"),
		"--root-ca-file="+n.path("apiserver", "ca.crt"),
		"--bind-address=127.0.0.1", "--cert-dir="+n.path("controller-manager"), "--allocate-node-cidrs=false"); err != nil {
		return fmt.Errorf("start the controllers: %w", err)
	}
	_, err := n.run("kube-scheduler", n.programs.KubeScheduler, nil,
		"--kubeconfig="+n.path("scheduler.kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1", "--cert-dir="+n.path("scheduler"))
	return err
}
