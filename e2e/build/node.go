package build

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
)

// NodePrograms are what a real node needs beside the control plane, as absolute
// paths.
type NodePrograms struct {
	Kubelet, KubeProxy, KubeScheduler string
	// Containerd's folder has its shim too, which it looks for in PATH.
	Containerd string
	// CNI is a folder of plugins: ptp, loopback, portmap, host-local.
	CNI     string
	CoreDNS string
	// Helm3 and Helm4 are the command lines of both.
	Helm3, Helm4 string
	// Pause is the program of a Pod's sandbox container, App that of a Pod that
	// stays, Vulnerable one that known advisories are about.
	Pause, App, Vulnerable string
	// NATS is a server of it.
	NATS string
	// Runc and NFT are the machine's, or Debian's packages unpacked.
	Runc, NFT string
	// GatekeeperChart is the folder of Gatekeeper's own chart.
	GatekeeperChart string
}

const (
	containerdModule = "github.com/containerd/containerd/v2"
	cniModule        = "github.com/containernetworking/plugins"
)

// Node builds what is missing of a node's programs, as Cluster does the control
// plane's. They are kept in .cache/node-programs, in a folder named for the versions.
func Node(ctx context.Context, root string, progress io.Writer) (NodePrograms, error) {
	tools := filepath.Join(root, "e2e", "tools")
	runtimes, dns, charts := filepath.Join(tools, "runtime"), filepath.Join(tools, "dns"), filepath.Join(root, "charts")
	controlPlane, ldflags, err := controlPlaneFolder(ctx, root, tools)
	if err != nil {
		return NodePrograms{}, err
	}
	sum, err := sumOf(filepath.Base(controlPlane), runtimes, dns, charts)
	if err != nil {
		return NodePrograms{}, fmt.Errorf("find the node's versions: %w", err)
	}
	unlock, err := lock(filepath.Join(root, ".cache", "node.lock"))
	if err != nil {
		return NodePrograms{}, err
	}
	defer unlock()

	dir := filepath.Join(root, ".cache", "node-programs", sum)
	p := NodePrograms{CNI: filepath.Join(dir, "cni")}
	var besides string // found by its folder
	for _, item := range []struct {
		path           *string
		name, dir, pkg string
		ldflags        string
		flags          []string
	}{
		{&p.Containerd, "containerd", runtimes, containerdModule + "/cmd/containerd", "-s -w", []string{"-tags=no_btrfs"}},
		{&besides, "containerd-shim-runc-v2", runtimes, containerdModule + "/cmd/containerd-shim-runc-v2", "-s -w", nil},
		{&besides, "cni/ptp", runtimes, cniModule + "/plugins/main/ptp", "-s -w", nil},
		{&besides, "cni/loopback", runtimes, cniModule + "/plugins/main/loopback", "-s -w", nil},
		{&besides, "cni/portmap", runtimes, cniModule + "/plugins/meta/portmap", "-s -w", nil},
		{&besides, "cni/host-local", runtimes, cniModule + "/plugins/ipam/host-local", "-s -w", nil},
		{&p.Kubelet, "kubelet", tools, kubernetesModule + "/cmd/kubelet", ldflags, nil},
		{&p.KubeProxy, "kube-proxy", tools, kubernetesModule + "/cmd/kube-proxy", ldflags, nil},
		{&p.KubeScheduler, "kube-scheduler", tools, kubernetesModule + "/cmd/kube-scheduler", ldflags, nil},
		{&p.CoreDNS, "coredns", dns, ".", "-s -w", nil},
		{&p.Helm4, "helm4", charts, "helm.sh/helm/v4/cmd/helm", "-s -w", nil},
		{&p.Helm3, "helm3", charts, "helm.sh/helm/v3/cmd/helm", "-s -w", nil},
	} {
		*item.path = filepath.Join(dir, item.name)
		t := target{name: item.name, dir: item.dir, pkg: item.pkg, ldflags: item.ldflags, flags: item.flags}
		if err := compileMissing(ctx, t, *item.path, progress); err != nil {
			return NodePrograms{}, err
		}
	}
	for name, path := range map[string]*string{"pause": &p.Pause, "app": &p.App, "vulnerable": &p.Vulnerable} {
		*path = filepath.Join(dir, name)
		if err := Sample(ctx, root, name, runtime.GOARCH, *path); err != nil {
			return NodePrograms{}, err
		}
	}
	gatekeeperDir, err := module(ctx, tools, gatekeeperModule, "{{.Dir}}")
	if err != nil {
		return NodePrograms{}, fmt.Errorf("find Gatekeeper's chart: %w", err)
	}
	p.GatekeeperChart = filepath.Join(gatekeeperDir, "charts", "gatekeeper")
	if p.NATS, err = NATS(ctx, root, progress); err != nil {
		return NodePrograms{}, err
	}
	if p.Runc, err = runc(ctx, root, progress); err != nil {
		return NodePrograms{}, err
	}
	if p.NFT, err = nft(ctx, root, progress); err != nil {
		return NodePrograms{}, err
	}
	return p, nil
}

// runc is the machine's, or Debian's: one that is built without a C compiler has no
// seccomp, which each restricted Pod asks for.
func runc(ctx context.Context, root string, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("runc"); err == nil {
		return path, nil
	}
	dir, err := debian(ctx, root, progress, "runc", "libseccomp2")
	if err != nil {
		return "", err
	}
	return wrapped(dir, "runc")
}

// nft is what kube-proxy has rules written by.
func nft(ctx context.Context, root string, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("nft"); err == nil {
		return path, nil
	}
	dir, err := debian(ctx, root, progress, "nftables", "libnftables1", "libnftnl11", "libmnl0", "libedit2", "libbsd0", "libmd0",
		"libjansson4", "libxtables12", "libgmp10")
	if err != nil {
		return "", err
	}
	return wrapped(dir, "nft")
}
