package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/imagegate/imagegate/e2e/process"
)

func (n *Node) startContainerd(ctx context.Context) error {
	if err := n.writeRuntime(); err != nil {
		return err
	}
	// It looks for its shim in PATH.
	path := "PATH=" + filepath.Dir(n.programs.Containerd) + ":" + os.Getenv("PATH")
	p, err := n.run("containerd", n.programs.Containerd, []string{path}, "-c", n.path("containerd.toml"))
	if err != nil {
		return err
	}
	return ready(ctx, p, func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", containerdSocket)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// The machine's disk and memory are not for the kubelet to judge.
const kubelet = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ` + address + `
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[1]s/apiserver/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: %[1]s/kubelet/tls.crt
tlsPrivateKeyFile: %[1]s/kubelet/tls.key
healthzBindAddress: 127.0.0.1
containerRuntimeEndpoint: unix://` + containerdSocket + `
cgroupDriver: cgroupfs
cgroupRoot: /%[2]s
failCgroupV1: false
failSwapOn: false
clusterDNS: [` + dnsService + `]
clusterDomain: cluster.local
resolvConf: /etc/resolv.conf
evictionHard: {memory.available: "0%%", nodefs.available: "0%%", nodefs.inodesFree: "0%%", imagefs.available: "0%%", imagefs.inodesFree: "0%%", pid.available: "0%%"}
imageGCHighThresholdPercent: 100
maxPods: 50
syncFrequency: %[3]s
registryPullQPS: 0
`

// StartKubelet starts the kubelet, or starts it again with another time between its
// looks at each Pod: a changed Secret or ConfigMap reaches a Pod at the next one.
// Kubernetes' default is a minute.
func (n *Node) StartKubelet(ctx context.Context, sync time.Duration) error {
	if n.kubelet != nil {
		old := n.kubelet
		old.Kill()
		n.processes = slices.DeleteFunc(n.processes, func(p *process.Process) bool { return p == old })
	}
	if err := n.identity.WriteDirFor(n.path("kubelet"), []string{Name, address, "127.0.0.1"}, "system:node:"+Name, "system:nodes"); err != nil {
		return err
	}
	if err := n.kubeconfig("kubelet", "system:node:"+Name, "system:nodes"); err != nil {
		return err
	}
	if err := n.write("kubelet.yaml", fmt.Sprintf(kubelet, n.dir, n.cgroup, sync)); err != nil {
		return err
	}
	p, err := n.run("kubelet", n.programs.Kubelet, nil, "--config="+n.path("kubelet.yaml"), "--kubeconfig="+n.path("kubelet.kubeconfig"),
		"--hostname-override="+Name, "--node-ip="+address, "--v=2")
	if err != nil {
		return err
	}
	n.kubelet = p
	return ready(ctx, p, n.nodeReady)
}

const proxy = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: %[1]s/kube-proxy.kubeconfig}
mode: nftables
clusterCIDR: ` + pods + `
hostnameOverride: ` + Name + `
bindAddress: ` + address + `
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0}
`

func (n *Node) startProxy(ctx context.Context) error {
	if err := n.kubeconfig("kube-proxy", "system:kube-proxy"); err != nil {
		return err
	}
	if err := n.write("kube-proxy.yaml", fmt.Sprintf(proxy, n.dir)); err != nil {
		return err
	}
	path := "PATH=" + filepath.Dir(n.programs.NFT) + ":" + os.Getenv("PATH")
	p, err := n.run("kube-proxy", n.programs.KubeProxy, []string{path}, "--config="+n.path("kube-proxy.yaml"), "--v=2")
	if err != nil {
		return err
	}
	return ready(ctx, p, process.Healthy("http://127.0.0.1:10256/healthz"))
}
