package node

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/imagegate/imagegate/e2e/images"
)

// Chart is where published charts are, for Helm.
const Chart = "oci://" + Registry + "/imagegate/charts/imagegate"

// Publish makes imagegate's images and chart of the working tree as that version and
// pushes them, as `make package` does.
func (n *Node) Publish(ctx context.Context, version string) error {
	release := images.Release{Version: version}
	items, err := release.Build(ctx, n.Root, filepath.Join(n.Root, ".cache", "images"), images.Programs(), []string{"linux/" + runtime.GOARCH}, n.progress)
	if err != nil {
		return err
	}
	chart, err := release.Chart(filepath.Join(n.Root, "charts", "imagegate"), Registry+"/imagegate", items)
	if err != nil {
		return err
	}
	if err := release.Push(ctx, Registry+"/imagegate", append(items, chart), n.pushing...); err != nil {
		return fmt.Errorf("publish version %s: %w", version, err)
	}
	return nil
}

// values are of a machine without a way out: the sample database, and the registry's
// authority. Pods run as a user that the image does not know, as OpenShift gives one.
const values = `
scanner:
  bundled:
    database: sample
    workers: 1
    disk: 4Gi
    resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 1Gi}}
resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 512Mi}}
mutator: {resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 128Mi}}}
registry: {platforms: [linux/` + runtime.GOARCH + `]}
trustedCA: {configMap: registry-ca}
pullSecrets: {enabled: true}
podSecurityContext: {runAsUser: 1000650000, runAsGroup: 0, fsGroup: 1000650000}
scanRules: {autoGenerate: true, defaultPolicy: scan-result, reportPending: reject, scanFailed: reject}
`

// Prepare makes a namespace in which only restricted Pods may be, with what values
// name in it.
func (n *Node) Prepare(ctx context.Context, namespace string) error {
	ca := strings.ReplaceAll(string(n.identity.PEM), "\n", "\n    ")
	return n.Kubectl.Apply(ctx, `
apiVersion: v1
kind: Namespace
metadata: {name: `+namespace+`, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: registry-ca, namespace: `+namespace+`}
data:
  ca.crt: |
    `+ca)
}

// Install returns the arguments with which Helm installs a published version, or
// upgrades to it.
func (n *Node) Install(name, namespace, version string) ([]string, error) {
	if err := n.write("values.yaml", values); err != nil {
		return nil, err
	}
	return []string{
		"upgrade", "--install", name, Chart, "--version=" + version, "--ca-file=" + n.path("registry", "ca.crt"), "-n", namespace,
		"-f", n.path("values.yaml"), "--wait", "--timeout=3m",
	}, nil
}

// Tenant makes a namespace whose Secret "pull" has the registry's password.
func (n *Node) Tenant(ctx context.Context, namespace string) error {
	return n.Kubectl.Apply(ctx, `
apiVersion: v1
kind: Namespace
metadata: {name: `+namespace+`}
---
apiVersion: v1
kind: Secret
metadata: {name: pull, namespace: `+namespace+`}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths": {"`+Registry+`": {"username": "`+User+`", "password": "`+Password+`"}}}'}
`)
}
