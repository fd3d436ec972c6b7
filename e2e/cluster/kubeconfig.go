package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfig writes a kubeconfig for a user with a certificate of its own and
// returns its path.
func (c *Cluster) kubeconfig(file, user string, groups ...string) (string, error) {
	pair, err := c.identity.Issue(user, groups...)
	if err != nil {
		return "", err
	}
	config := api.NewConfig()
	config.Clusters["imagegate-e2e"] = &api.Cluster{Server: c.server, CertificateAuthorityData: c.identity.PEM}
	config.AuthInfos[user] = &api.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	config.Contexts["imagegate-e2e"] = &api.Context{Cluster: "imagegate-e2e", AuthInfo: user}
	config.CurrentContext = "imagegate-e2e"
	path := c.path(file + ".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("write kubeconfig of %s: %w", user, err)
	}
	return path, nil
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
	return c.KubectlInput(ctx, nil, args...)
}

// KubectlInput is Kubectl with a standard input, for `apply -f -`.
func (c *Cluster) KubectlInput(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.opts.Binaries.Kubectl, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "KUBECACHEDIR="+c.path("kubectl-cache"))
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Apply applies manifests with kubectl, server side, and fails with what
// kubectl said.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	out, err := c.KubectlInput(ctx, strings.NewReader(manifests), "apply", "--server-side", "--force-conflicts", "-f", "-")
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("kubectl apply: %s", out)
	}
	return fmt.Errorf("kubectl apply: %w", err)
}

// KubectlPath is the kubectl that belongs to the cluster's version.
func (c *Cluster) KubectlPath() string { return c.opts.Binaries.Kubectl }
