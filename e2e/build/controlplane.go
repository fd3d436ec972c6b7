// Package build makes the programs that the end-to-end tests and the demo run:
// the Kubernetes control plane and Gatekeeper from the modules pinned in
// e2e/tools, and imagegate's own three. It exists so that a machine with
// nothing but Go gets a real cluster, and gets it in seconds the second time.
package build

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// ControlPlane names the binaries of a cluster, as absolute paths.
type ControlPlane struct {
	Etcd, KubeAPIServer, KubeControllerManager, Kubectl, Gatekeeper string
	// GatekeeperManifest is deploy/gatekeeper.yaml of the Gatekeeper release
	// that was built.
	GatekeeperManifest string
}

const (
	kubernetesModule = "k8s.io/kubernetes"
	gatekeeperModule = "github.com/open-policy-agent/gatekeeper/v3"
	etcdModule       = "go.etcd.io/etcd/server/v3"
)

// Cluster builds what is missing of the control plane and writes progress, one
// line for each start and end. The binaries are kept in .cache/controlplane of
// the repository in a folder named for the versions, so a change of e2e/tools
// builds anew. Where the environment's KUBEBUILDER_ASSETS names a folder that
// holds etcd, kube-apiserver or kubectl, those are used as they are.
func Cluster(ctx context.Context, root string, progress io.Writer) (ControlPlane, error) {
	tools := filepath.Join(root, "e2e", "tools")
	dir, ldflags, err := controlPlaneFolder(ctx, root, tools)
	if err != nil {
		return ControlPlane{}, err
	}
	unlock, err := lock(filepath.Join(root, ".cache", "controlplane.lock"))
	if err != nil {
		return ControlPlane{}, err
	}
	defer unlock()

	var cp ControlPlane
	for _, item := range []struct {
		path      *string
		name, pkg string
		assets    bool
	}{
		{&cp.Etcd, "etcd", etcdModule, true},
		{&cp.Kubectl, "kubectl", kubernetesModule + "/cmd/kubectl", true},
		{&cp.KubeAPIServer, "kube-apiserver", kubernetesModule + "/cmd/kube-apiserver", true},
		{&cp.KubeControllerManager, "kube-controller-manager", kubernetesModule + "/cmd/kube-controller-manager", false},
		{&cp.Gatekeeper, "gatekeeper", gatekeeperModule, false},
	} {
		if item.assets {
			if *item.path = asset(item.name); *item.path != "" {
				continue
			}
		}
		*item.path = filepath.Join(dir, item.name)
		t := target{name: item.name, dir: tools, pkg: item.pkg, ldflags: ldflags}
		if err := compileMissing(ctx, t, *item.path, progress); err != nil {
			return ControlPlane{}, err
		}
	}
	gatekeeperDir, err := module(ctx, tools, gatekeeperModule, "{{.Dir}}")
	if err != nil {
		return ControlPlane{}, fmt.Errorf("find Gatekeeper's manifest: %w", err)
	}
	cp.GatekeeperManifest = filepath.Join(gatekeeperDir, "deploy", "gatekeeper.yaml")
	return cp, nil
}

// controlPlaneFolder returns the folder for the versions pinned in tools and
// the linker flags that stamp them.
func controlPlaneFolder(ctx context.Context, root, tools string) (dir, ldflags string, err error) {
	kubernetes, err := module(ctx, tools, kubernetesModule, "{{.Version}}")
	if err != nil {
		return "", "", fmt.Errorf("find the control plane's versions: %w", err)
	}
	gatekeeper, err := module(ctx, tools, gatekeeperModule, "{{.Version}}")
	if err != nil {
		return "", "", fmt.Errorf("find the control plane's versions: %w", err)
	}
	goVersion, err := goCommand(ctx, tools, "env", "GOVERSION")
	if err != nil {
		return "", "", err
	}
	// Without a version the API server reports v0.0.0 and refuses clients that
	// check for a minimum.
	ldflags = "-s -w -X k8s.io/component-base/version.gitVersion=" + kubernetes +
		" -X k8s.io/component-base/version.gitMajor=" + part(kubernetes, 0) +
		" -X k8s.io/component-base/version.gitMinor=" + part(kubernetes, 1) +
		" -X k8s.io/component-base/version.gitCommit=" + kubernetes +
		" -X k8s.io/component-base/version.gitTreeState=clean"

	sum, err := sumOf(goVersion+ldflags, tools)
	if err != nil {
		return "", "", fmt.Errorf("find the control plane's versions: %w", err)
	}
	name := fmt.Sprintf("kubernetes-%s-gatekeeper-%s-%s", kubernetes, gatekeeper, sum)
	return filepath.Join(root, ".cache", "controlplane", name), ldflags, nil
}

// sumOf stands for the versions of all that the modules name, for this platform, and
// for how they are built.
func sumOf(how string, modules ...string) (string, error) {
	sum := sha256.New()
	for _, dir := range modules {
		for _, name := range []string{"go.mod", "go.sum"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return "", err
			}
			sum.Write(data)
		}
	}
	_, _ = fmt.Fprint(sum, how, runtime.GOOS, runtime.GOARCH)
	return fmt.Sprintf("%x", sum.Sum(nil)[:6]), nil
}

// part returns the nth number of a version such as v1.36.3.
func part(version string, n int) string {
	var numbers [3]string
	i := 0
	for _, r := range version {
		switch {
		case r == '.' && i < 2:
			i++
		case r >= '0' && r <= '9':
			numbers[i] += string(r)
		}
	}
	return numbers[n]
}

// asset returns the binary of that name in KUBEBUILDER_ASSETS, or "".
func asset(name string) string {
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
