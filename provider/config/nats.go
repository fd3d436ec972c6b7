package config

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// NATS is where reports, the scan queue and what else outlives a process are
// kept, in its JetStream: elsewhere at URL, in a cluster of the provider's
// replicas, or else in this process alone, with its files in DataDir.
type NATS struct {
	// Prefix begins the names of all that is kept there.
	Prefix string `json:"prefix"`

	// MinFree is how many bytes of the disk the embedded server leaves to others.
	MinFree int64 `json:"minFree"`
	// SyncEvery is how often its files are synced to the disk: what was written
	// since may be lost with the machine, though not with the process. Zero: each
	// write before it is acknowledged.
	SyncEvery metav1.Duration `json:"syncEvery"`
	Cluster   NATSCluster     `json:"cluster,omitzero"`

	// URL is nats:// or tls:// and host:port of a NATS that somebody else runs;
	// several with commas.
	URL string `json:"url,omitempty"`
	// CredsFile, UserFile with PasswordFile, or TokenFile open it.
	CredsFile    string `json:"credsFile,omitempty"`
	UserFile     string `json:"userFile,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
	TokenFile    string `json:"tokenFile,omitempty"`
	// TLS is this side of its connections.
	TLS NATSTLS `json:"tls,omitzero"`
	// Domain is the JetStream domain; empty is the account's own.
	Domain string `json:"domain,omitempty"`
	// Replicas is how many servers keep each thing; zero: three in a cluster, else
	// one.
	Replicas int `json:"replicas,omitempty"`
}

// NATSCluster makes the embedded servers of an odd number of processes one.
type NATSCluster struct {
	// Name is this server's, one of Peers, and stays as long as DataDir does.
	Name string `json:"name"`
	// Peers are all of them: host:port of their routes, by name.
	Peers map[string]string `json:"peers"`
	// Listen is host:port for routes; empty: the port in Peers, on all addresses.
	Listen string `json:"listen,omitempty"`
	// ClientListen is host:port for other processes of the provider, workers for
	// instance, which name it in their URL; empty: none.
	ClientListen string `json:"clientListen,omitempty"`
	// Clients are the names that their certificates may have.
	Clients []string `json:"clients,omitempty"`
	// TLS is the certificate of routes and of ClientListen, on both sides, and who
	// signs those of the others.
	TLS NATSTLS `json:"tls"`
}

// NATSTLS names PEM files, which are followed.
type NATSTLS struct {
	CAFile   string `json:"caFile,omitempty"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
}

// Clustered reports whether the embedded server is one of several.
func (n *NATS) Clustered() bool {
	c := &n.Cluster
	return c.Name != "" || len(c.Peers) > 0 || c.Listen != "" || c.ClientListen != "" || len(c.Clients) > 0 || c.TLS != NATSTLS{}
}

// Shared reports whether other processes can reach it.
func (n *NATS) Shared() bool { return n.URL != "" || n.Clustered() }

// validate checks what goes together. What a NATS would not take is said where
// it is opened.
func (n *NATS) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, positive(p.Child("minFree"), n.MinFree)...)
	errs = append(errs, notNegative(p.Child("syncEvery"), n.SyncEvery)...)
	if n.URL != "" && n.Clustered() {
		errs = append(errs, field.Forbidden(p.Child("cluster"), "cannot be set beside url"))
	}
	if n.URL == "" {
		for name, set := range map[string]bool{
			"credsFile": n.CredsFile != "", "userFile": n.UserFile != "", "passwordFile": n.PasswordFile != "", "tokenFile": n.TokenFile != "",
			"tls": n.TLS != NATSTLS{}, "domain": n.Domain != "", "replicas": n.Replicas != 0,
		} {
			if set {
				errs = append(errs, field.Required(p.Child("url"), "must be set when "+p.Child(name).String()+" is"))
			}
		}
	}
	if n.Clustered() {
		errs = append(errs, n.Cluster.validate(p.Child("cluster"))...)
	}
	return errs
}

func (c *NATSCluster) validate(p *field.Path) (errs field.ErrorList) {
	if n := len(c.Peers); n < 3 || n%2 == 0 {
		errs = append(errs, field.Invalid(p.Child("peers"), n, "must be an odd number of at least three"))
	}
	if _, ok := c.Peers[c.Name]; !ok {
		errs = append(errs, field.Invalid(p.Child("name"), c.Name, "must be one of peers"))
	}
	if c.TLS.CAFile == "" || c.TLS.CertFile == "" || c.TLS.KeyFile == "" {
		errs = append(errs, field.Required(p.Child("tls"), "must have caFile, certFile and keyFile"))
	}
	return errs
}
