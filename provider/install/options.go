package install

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Mode says how much is installed here.
type Mode string

// The modes.
const (
	// ModeProcess installs everything.
	ModeProcess Mode = "process"
	// ModeChart installs the Provider object and CA bundles; policies are somebody
	// else's.
	ModeChart Mode = "chart"
	// ModeNone writes nothing outside its own namespace. Whoever makes the Provider
	// object takes its CA bundle from the state's ca.crt.
	ModeNone Mode = "none"
)

// Source says where certificates come from.
type Source string

// The sources.
const (
	// SourceOwn has a CA of its own, in a Secret.
	SourceOwn Source = "own"
	// SourceSecret is a Secret with tls.crt, tls.key and ca.crt that somebody else
	// writes: cert-manager, or a person.
	SourceSecret Source = "secret"
	// SourceFiles are three files.
	SourceFiles Source = "files"
)

// Options configure an Installer.
type Options struct {
	// Kubeconfig says how to reach the API server; empty within the cluster.
	Kubeconfig string
	Mode       Mode
	// Instance tells installations in one cluster apart: it is in the label of all
	// that is installed and in the names of Lease and state.
	Instance string
	// Namespace is our own.
	Namespace string
	// Identity is this replica.
	Identity string
	Owner    Owner
	Policies Policies
	Provider Provider
	// Webhook is the name of our MutatingWebhookConfiguration; empty: there is none.
	Webhook      string
	Gatekeeper   Gatekeeper
	Certificates Certificates
	// Unverified says that clients need no certificate, which is warned of.
	Unverified bool
	// Ready says why the provider cannot answer yet, or nil.
	Ready      func(context.Context) error
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Owner is a cluster-scoped object of the chart. What is installed goes when it
// goes. Without a name nothing is owned.
type Owner struct {
	schema.GroupVersionKind
	Resource, Name string
}

// Policies says where they are written: a key of a ConfigMap in our namespace, or
// a file.
type Policies struct {
	ConfigMap, Key, File string
}

// Provider is Gatekeeper's object.
type Provider struct {
	Name, URL string
	// Timeout in whole seconds.
	Timeout int
}

// Gatekeeper names the objects that its CA is read from; with a CAFile that is
// used instead.
type Gatekeeper struct {
	Validating, Mutating, CAFile string
}

// Certificates are the server's.
type Certificates struct {
	Source Source
	// Secret in our namespace, for SourceOwn and SourceSecret.
	Secret string
	// CertFile, KeyFile and CAFile are for SourceFiles.
	CertFile, KeyFile, CAFile string
	// Names are the DNS names of SourceOwn's.
	Names []string
	// CAValidity and LeafValidity are how long SourceOwn's are valid.
	CAValidity, LeafValidity time.Duration
	// Propagation and Overlap: see package trust.
	Propagation, Overlap time.Duration
	// Dir is where what is served is written: CertFile and the others of this
	// package. It is this Pod's own.
	Dir string
}

// The files of Certificates.Dir.
const (
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
	// CAFile verifies us, and those of our certificates that are about to come.
	CAFile = "ca.crt"
	// ClientCAFile verifies our clients: Gatekeeper and the mutator.
	ClientCAFile = "client-ca.crt"
)

func (o *Options) check() error {
	switch {
	case o.Instance == "" || o.Namespace == "" || o.Identity == "":
		return errors.New("install option Instance, Namespace or Identity is missing")
	case o.Logger == nil || o.Registerer == nil || o.Ready == nil:
		return errors.New("install option Logger, Registerer or Ready is missing")
	case o.Certificates.Dir == "":
		return errors.New("install option Certificates.Dir is missing")
	case o.Certificates.Source == SourceOwn && len(o.Certificates.Names) == 0:
		return errors.New("install option Certificates.Names is missing")
	}
	return nil
}

const (
	// fieldManager is who owns what is written, by the API server's account.
	fieldManager = "imagegate"
	userAgent    = "imagegate-install"
	// Label is on everything that is installed, with the instance as its value.
	Label = "imagegate.dev/installed-by"

	// roundAtLeast and roundAtMost are between two rounds: a watch may have missed
	// something, and somebody who changes an object back each time must not keep us
	// busy.
	roundAtLeast = 500 * time.Millisecond
	roundAtMost  = time.Minute
	// unfinished is between rounds while something is missing, retryMax the longest
	// pause while the API server refuses.
	unfinished = 2 * time.Second
	retryMax   = 30 * time.Second
	// patience is how long a Gatekeeper Pod that says nothing is waited for. What
	// then is refused is tried again, and nothing is lost by it but words.
	patience = time.Minute
)

func (o *Options) leaseName() string { return LeaseName(o.Instance) }
func (o *Options) stateName() string { return StateName(o.Instance) }

// LeaseName is the name of the Lease of an instance, StateName that of the ConfigMap
// with its state.
func LeaseName(instance string) string { return instance + "-install" }

// StateName is described with LeaseName.
func StateName(instance string) string { return instance + "-state" }
