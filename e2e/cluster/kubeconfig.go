package cluster

import (
	"context"
	"io"
	"strings"

	"github.com/imagegate/imagegate/e2e/kubectl"
)

// kubeconfig writes a kubeconfig for a user with a certificate of its own and
// returns its path.
func (c *Cluster) kubeconfig(file, user string, groups ...string) (string, error) {
	path := c.path(file + ".kubeconfig")
	return path, kubectl.Config(path, c.server, c.identity, user, groups...)
}

// User returns the path of a kubeconfig for that user and those groups. RBAC
// gives it nothing until a test binds a role to it.
func (c *Cluster) User(name string, groups ...string) (string, error) {
	return c.kubeconfig("user-"+strings.ReplaceAll(name, ":", "-"), name, groups...)
}

// Kubectl runs kubectl as the administrator and returns what it printed, its
// standard error included. The error is an *exec.ExitError when kubectl ran and
// refused.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.kubectl().Run(ctx, nil, args...)
}

// KubectlInput is Kubectl with a standard input, for `apply -f -`.
func (c *Cluster) KubectlInput(ctx context.Context, in io.Reader, args ...string) (string, error) {
	return c.kubectl().Run(ctx, in, args...)
}

// Apply applies manifests with kubectl, server side, and fails with what
// kubectl said.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	return c.kubectl().Apply(ctx, manifests)
}

func (c *Cluster) kubectl() kubectl.Kubectl {
	return kubectl.Kubectl{Path: c.opts.Binaries.Kubectl, Kubeconfig: c.Kubeconfig, Cache: c.path("kubectl-cache"), Plugins: c.opts.Plugins}
}

// KubectlPath is the kubectl that belongs to the cluster's version.
func (c *Cluster) KubectlPath() string { return c.opts.Binaries.Kubectl }
