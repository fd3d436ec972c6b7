package config

import (
	"net/url"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/imagegate/imagegate/provider/install"
)

// Install has the provider put into the cluster what only a running process can,
// and keep it right: see package install. It needs RBAC (provider/install/rbac.yaml).
type Install struct {
	Enabled bool `json:"enabled"`
	// Mode is how much: process (all), chart (the Provider object and CA bundles
	// only) or none (nothing outside Namespace).
	Mode install.Mode `json:"mode"`
	// Kubeconfig is empty inside a cluster.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Namespace is the provider's own; empty inside a cluster: the Pod's.
	Namespace string `json:"namespace,omitempty"`
	// Instance tells installations in one cluster apart; Lease and state are named
	// after it: imagegate-install and imagegate-state.
	Instance string `json:"instance"`
	// Owner is a cluster-scoped object of the chart: what is installed goes when it
	// goes. Without a name nothing is owned, and stays.
	Owner    InstallOwner    `json:"owner,omitzero"`
	Policies InstallPolicies `json:"policies"`
	Provider InstallProvider `json:"provider"`
	// MutatingWebhook is the name of our MutatingWebhookConfiguration, whose caBundle
	// is filled in; empty: there is none.
	MutatingWebhook string              `json:"mutatingWebhook,omitempty"`
	Gatekeeper      InstallGatekeeper   `json:"gatekeeper"`
	Certificates    InstallCertificates `json:"certificates"`
}

// InstallOwner names an object.
type InstallOwner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Resource is the kind's name in URLs: clusterroles.
	Resource string `json:"resource"`
	Name     string `json:"name"`
}

// InstallPolicies says where policies are written: see package install/policy for
// what they are.
type InstallPolicies struct {
	// ConfigMap in Namespace, and which key of it.
	ConfigMap string `json:"configMap"`
	Key       string `json:"key"`
	// File is used instead when it is set.
	File string `json:"file,omitempty"`
}

// InstallProvider is Gatekeeper's object.
type InstallProvider struct {
	Name string `json:"name"`
	// URL is how Gatekeeper reaches this provider:
	// https://imagegate.imagegate-system.svc:8443/scan-reports.
	URL string `json:"url,omitempty"`
	// Timeout is whole seconds, longer than server.budget.
	Timeout metav1.Duration `json:"timeout"`
}

// InstallGatekeeper says where the CA of Gatekeeper's client certificate is read:
// from the first of its webhook configurations that has a caBundle, or from a file.
type InstallGatekeeper struct {
	ValidatingWebhook string `json:"validatingWebhook"`
	MutatingWebhook   string `json:"mutatingWebhook"`
	CAFile            string `json:"caFile,omitempty"`
}

// InstallCertificates are the server's. They take the place of server.tls's files.
type InstallCertificates struct {
	// Source is own (a CA of the provider's in Secret), secret (somebody else writes
	// tls.crt, tls.key and ca.crt to Secret) or files.
	Source install.Source `json:"source"`
	// Secret in Namespace.
	Secret   string `json:"secret"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
	CAFile   string `json:"caFile,omitempty"`
	// DNSNames are those of source own: of the Service, and localhost for the mutator
	// beside the provider.
	DNSNames []string `json:"dnsNames,omitempty"`
	// CAValidity and LeafValidity are those of source own. Both are replaced when a
	// third of it is left, or 90 days.
	CAValidity   metav1.Duration `json:"caValidity"`
	LeafValidity metav1.Duration `json:"leafValidity"`
	// Propagation is how long after a CA was published its certificates are served,
	// Overlap how long a CA stays published after that.
	Propagation metav1.Duration `json:"propagation"`
	Overlap     metav1.Duration `json:"overlap"`
	// Dir is where what is served is written, as tls.crt, tls.key, ca.crt and
	// client-ca.crt, for the mutator beside the provider too; empty: tls in dataDir.
	Dir string `json:"dir,omitempty"`
}

func defaultInstall() Install {
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	return Install{
		Mode:     install.ModeProcess,
		Instance: "imagegate",
		Policies: InstallPolicies{ConfigMap: "imagegate-policies", Key: "policies.yaml"},
		Provider: InstallProvider{Name: "imagegate-provider", Timeout: d(2 * time.Second)},
		Gatekeeper: InstallGatekeeper{
			ValidatingWebhook: "gatekeeper-validating-webhook-configuration",
			MutatingWebhook:   "gatekeeper-mutating-webhook-configuration",
		},
		Certificates: InstallCertificates{ //nolint:gosec // a Secret's name is no secret
			Source: install.SourceOwn, Secret: "imagegate-tls",
			CAValidity: d(10 * 365 * 24 * time.Hour), LeafValidity: d(365 * 24 * time.Hour),
			Propagation: d(10 * time.Second), Overlap: d(time.Hour),
		},
	}
}

// Installs reports whether the process takes part in the installation, and has its
// certificates from it. A worker, whom nobody asks, does not.
func (c *Config) Installs() bool { return c.Install.Enabled && c.Role.Answers() }

// validate is called with what c has besides.
func (i *Install) validate(p *field.Path, c *Config) (errs field.ErrorList) {
	if !c.Installs() {
		return nil
	}
	errs = append(errs, oneOf(p.Child("mode"), i.Mode, install.ModeProcess, install.ModeChart, install.ModeNone)...)
	errs = append(errs, readable(p.Child("kubeconfig"), i.Kubeconfig)...)
	errs = append(errs, objectName(p.Child("instance"), i.Instance)...)
	if i.Namespace != "" {
		errs = append(errs, objectName(p.Child("namespace"), i.Namespace)...)
	}
	if o := i.Owner; o != (InstallOwner{}) && (o.APIVersion == "" || o.Kind == "" || o.Resource == "" || o.Name == "") {
		errs = append(errs, field.Required(p.Child("owner"), "apiVersion, kind, resource and name must be set together"))
	}
	if i.Mode == install.ModeProcess && i.Policies.File == "" {
		errs = append(errs, objectName(p.Child("policies", "configMap"), i.Policies.ConfigMap)...)
		if i.Policies.Key == "" {
			errs = append(errs, field.Required(p.Child("policies", "key"), "must be the key of the policies in the ConfigMap"))
		}
	}
	errs = append(errs, i.Provider.validate(p.Child("provider"), c)...)
	errs = append(errs, i.Certificates.validate(p.Child("certificates"))...)
	t := &c.Server.TLS
	for _, f := range []struct{ name, value string }{{"certFile", t.CertFile}, {"keyFile", t.KeyFile}, {"clientCAFile", t.ClientCAFile}} {
		if f.value != "" {
			errs = append(errs, field.Forbidden(field.NewPath("server", "tls", f.name), "is install.certificates' when install.enabled is set"))
		}
	}
	return errs
}

func (o *InstallProvider) validate(p *field.Path, c *Config) (errs field.ErrorList) {
	if c.Install.Mode == install.ModeNone {
		return nil
	}
	errs = append(errs, objectName(p.Child("name"), o.Name)...)
	if u, err := url.Parse(o.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		errs = append(errs, field.Invalid(p.Child("url"), o.URL, "must be the https URL under which Gatekeeper reaches /scan-reports"))
	}
	timeout := o.Timeout.Duration
	errs = append(errs, atMost(p.Child("timeout"), o.Timeout, gatekeeperWait)...)
	if timeout%time.Second != 0 || timeout <= c.Server.Budget.Duration {
		errs = append(errs, field.Invalid(p.Child("timeout"), timeout.String(), "must be whole seconds, and longer than server.budget, "+c.Server.Budget.Duration.String()))
	}
	return errs
}

func (t *InstallCertificates) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, oneOf(p.Child("source"), t.Source, install.SourceOwn, install.SourceSecret, install.SourceFiles)...)
	switch t.Source {
	case install.SourceFiles:
		for _, f := range []struct{ name, value string }{{"certFile", t.CertFile}, {"keyFile", t.KeyFile}, {"caFile", t.CAFile}} {
			if f.value == "" {
				errs = append(errs, field.Required(p.Child(f.name), "must be set for source files"))
			}
		}
	case install.SourceOwn:
		if len(t.DNSNames) == 0 {
			errs = append(errs, field.Required(p.Child("dnsNames"), "must list the names under which the provider is reached"))
		}
		errs = append(errs, longer(p.Child("leafValidity"), t.LeafValidity)...)
		if t.CAValidity.Duration < t.LeafValidity.Duration {
			errs = append(errs, field.Invalid(p.Child("caValidity"), t.CAValidity.Duration.String(), "must not be shorter than leafValidity"))
		}
		// The next CA must have come into use before the one in use ends.
		if least := 6 * t.Propagation.Duration; t.CAValidity.Duration < least {
			errs = append(errs, field.Invalid(p.Child("caValidity"), t.CAValidity.Duration.String(), "must be at least six times propagation, "+least.String()))
		}
		fallthrough
	case install.SourceSecret:
		errs = append(errs, objectName(p.Child("secret"), t.Secret)...)
	}
	errs = append(errs, notNegative(p.Child("propagation"), t.Propagation)...)
	return append(errs, notNegative(p.Child("overlap"), t.Overlap)...)
}

func objectName(p *field.Path, name string) (errs field.ErrorList) {
	for _, problem := range slices.Sorted(slices.Values(validation.IsDNS1123Subdomain(name))) {
		errs = append(errs, field.Invalid(p, name, problem))
	}
	return errs
}
