package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/server"
)

// serviceNamespace has the namespace of the Pod.
const serviceNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// installer returns this replica's part in the installation, nil where that is off,
// and has c's certificates be those that it writes. ready says how the provider is.
func installer(c *config.Config, p *parts, ready func(context.Context) []server.Check) (*install.Installer, error) {
	s := &c.Install
	if !c.Installs() {
		return nil, nil
	}
	if s.Namespace == "" {
		b, err := os.ReadFile(serviceNamespace)
		if err != nil {
			return nil, fmt.Errorf("install.namespace must be set outside a cluster: %w", err)
		}
		s.Namespace = strings.TrimSpace(string(b))
	}
	if s.Certificates.Dir == "" {
		data, err := dataDir(c)
		if err != nil {
			return nil, err
		}
		s.Certificates.Dir = filepath.Join(data, "tls")
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("install: naming this replica: %w", err)
	}
	t := &s.Certificates
	i, err := install.New(install.Options{
		Kubeconfig: s.Kubeconfig,
		Mode:       s.Mode,
		Instance:   s.Instance,
		Namespace:  s.Namespace,
		// Two processes of one host are told apart by their numbers.
		Identity: fmt.Sprintf("%s-%d", host, os.Getpid()),
		Owner: install.Owner{
			GroupVersionKind: schema.FromAPIVersionAndKind(s.Owner.APIVersion, s.Owner.Kind),
			Resource:         s.Owner.Resource, Name: s.Owner.Name,
		},
		Policies: install.Policies(s.Policies),
		Provider: install.Provider{Name: s.Provider.Name, URL: s.Provider.URL, Timeout: int(s.Provider.Timeout.Seconds())},
		Webhook:  s.MutatingWebhook,
		Gatekeeper: install.Gatekeeper{
			Validating: s.Gatekeeper.ValidatingWebhook, Mutating: s.Gatekeeper.MutatingWebhook, CAFile: s.Gatekeeper.CAFile,
		},
		Certificates: install.Certificates{
			Source: t.Source, Secret: t.Secret, CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile, Names: t.DNSNames,
			CAValidity: t.CAValidity.Duration, LeafValidity: t.LeafValidity.Duration,
			Propagation: t.Propagation.Duration, Overlap: t.Overlap.Duration, Dir: t.Dir,
		},
		Unverified: c.Server.TLS.ClientAuth == config.ClientAuthOff,
		Ready:      func(ctx context.Context) error { return needed(ready(ctx)) },
		Logger:     p.log,
		Registerer: p.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	files := &c.Server.TLS
	files.CertFile, files.KeyFile = filepath.Join(t.Dir, install.CertFile), filepath.Join(t.Dir, install.KeyFile)
	if files.ClientAuth == config.ClientAuthRequire {
		files.ClientCAFile = filepath.Join(t.Dir, install.ClientCAFile)
	}
	return i, nil
}

// needed says what of the checks keeps requests away, or returns nil.
func needed(checks []server.Check) error {
	var errs []error
	for _, c := range checks {
		if c.Err != nil && c.Needed {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, c.Err))
		}
	}
	return errors.Join(errs...)
}

// installed is what there is to say of the installation. It keeps no requests away:
// who installs is one of them.
func (r *readiness) installed() []server.Check {
	if r.installer == nil {
		return nil
	}
	return []server.Check{
		{Name: "newest certificate", Err: r.installer.Withheld()},
		{Name: "installation", Err: r.installer.Status().Err()},
	}
}

// waitCertificate waits for the first certificate where the embedded servers of a
// cluster speak to each other with it: they read it once, when they start.
func (f *front) waitCertificate(ctx context.Context, c *config.Config) error {
	if f.installer == nil || !strings.HasPrefix(c.Store.NATS.Cluster.TLS.CertFile, c.Install.Certificates.Dir) {
		return nil
	}
	f.log.InfoContext(ctx, "waiting for the first certificate", "dir", c.Install.Certificates.Dir)
	select {
	case <-f.installer.First():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the first certificate: %w", ctx.Err())
	}
}
