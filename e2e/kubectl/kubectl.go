// Package kubectl runs the real kubectl against a test cluster, because users see
// what kubectl prints.
package kubectl

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

	"github.com/imagegate/imagegate/e2e/pki"
)

// Kubectl is one for a cluster and a user.
type Kubectl struct {
	Path       string // of the program
	Kubeconfig string // path
	Cache      string // folder
	Plugins    string // folder of kubectl's plugins; may be empty
}

// Run runs kubectl and returns what it printed, its standard error included. The
// error is an *exec.ExitError when kubectl ran and refused.
func (k Kubectl) Run(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.Path, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.Kubeconfig, "KUBECACHEDIR="+k.Cache, "PATH="+k.Plugins+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Code is the exit code of what Run ran. Its error is that it could not be run.
func Code(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// Apply applies manifests, server side, and fails with what kubectl said.
func (k Kubectl) Apply(ctx context.Context, manifests string) error {
	out, err := k.Run(ctx, strings.NewReader(manifests), "apply", "--server-side", "--force-conflicts", "-f", "-")
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("kubectl apply: %s", out)
	}
	return fmt.Errorf("kubectl apply: %w", err)
}

// Config writes a kubeconfig to path, for a user of those groups with a certificate
// of its own.
func Config(path, server string, identity *pki.Authority, user string, groups ...string) error {
	pair, err := identity.Issue(user, groups...)
	if err != nil {
		return err
	}
	config := api.NewConfig()
	config.Clusters["imagegate-e2e"] = &api.Cluster{Server: server, CertificateAuthorityData: identity.PEM}
	config.AuthInfos[user] = &api.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	config.Contexts["imagegate-e2e"] = &api.Context{Cluster: "imagegate-e2e", AuthInfo: user}
	config.CurrentContext = "imagegate-e2e"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write kubeconfig of %s: %w", user, err)
	}
	return nil
}
