package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
// plane's.
func Node(ctx context.Context, root string, progress io.Writer) (NodePrograms, error) {
	tools := filepath.Join(root, "e2e", "tools")
	kubernetes, ldflags, err := controlPlaneFolder(ctx, root, tools)
	if err != nil {
		return NodePrograms{}, err
	}
	unlock, err := lock(filepath.Join(root, ".cache", "node.lock"))
	if err != nil {
		return NodePrograms{}, err
	}
	defer unlock()

	var p NodePrograms
	p.CNI = filepath.Join(kubernetes, "cni")
	runtime, charts, samples := filepath.Join(tools, "runtime"), filepath.Join(root, "charts"), filepath.Join(root, "e2e", "testdata")
	var unused string
	for _, item := range []struct {
		path           *string
		name, dir, pkg string
		ldflags        string
		flags          []string
	}{
		{&p.Containerd, "containerd", runtime, containerdModule + "/cmd/containerd", "-s -w", []string{"-tags=no_btrfs"}},
		{&unused, "containerd-shim-runc-v2", runtime, containerdModule + "/cmd/containerd-shim-runc-v2", "-s -w", nil},
		{&unused, "cni/ptp", runtime, cniModule + "/plugins/main/ptp", "-s -w", nil},
		{&unused, "cni/loopback", runtime, cniModule + "/plugins/main/loopback", "-s -w", nil},
		{&unused, "cni/portmap", runtime, cniModule + "/plugins/meta/portmap", "-s -w", nil},
		{&unused, "cni/host-local", runtime, cniModule + "/plugins/ipam/host-local", "-s -w", nil},
		{&p.Kubelet, "kubelet", tools, kubernetesModule + "/cmd/kubelet", ldflags, nil},
		{&p.KubeProxy, "kube-proxy", tools, kubernetesModule + "/cmd/kube-proxy", ldflags, nil},
		{&p.KubeScheduler, "kube-scheduler", tools, kubernetesModule + "/cmd/kube-scheduler", ldflags, nil},
		{&p.CoreDNS, "coredns", filepath.Join(tools, "dns"), ".", "-s -w", nil},
		{&p.Helm4, "helm4", charts, "helm.sh/helm/v4/cmd/helm", "-s -w", nil},
		{&p.Helm3, "helm3", charts, "helm.sh/helm/v3/cmd/helm", "-s -w", nil},
		{&p.Pause, "pause", filepath.Join(samples, "pause"), ".", "-s -w", nil},
		{&p.App, "app", filepath.Join(samples, "app"), ".", "-s -w", nil},
		{&p.Vulnerable, "vulnerable", filepath.Join(samples, "vulnerable"), ".", "-s -w", nil},
	} {
		*item.path = filepath.Join(kubernetes, item.name)
		if _, err := os.Stat(*item.path); err == nil && item.dir != filepath.Join(samples, item.name) {
			continue
		}
		t := target{name: item.name, dir: item.dir, pkg: item.pkg, ldflags: item.ldflags, flags: item.flags}
		if err := timed(t, progress, func() error { return compileOnce(ctx, t, *item.path) }); err != nil {
			return NodePrograms{}, err
		}
	}
	gatekeeperDir, err := module(ctx, tools, gatekeeperModule, "{{.Dir}}")
	if err != nil {
		return NodePrograms{}, fmt.Errorf("find Gatekeeper's chart: %w", err)
	}
	p.GatekeeperChart = filepath.Join(gatekeeperDir, "charts", "gatekeeper")
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
