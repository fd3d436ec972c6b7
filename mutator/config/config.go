// Package config is the mutator's configuration: defaults, one YAML file, the
// environment and flags, checked as a whole at start so that a mistake is an
// error that names its field.
package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/provider/reference"
)

// Config is the whole file. Durations are written as Go writes them: 800ms,
// 10s.
type Config struct {
	Server   Server   `json:"server"`
	Provider Provider `json:"provider"`
	Pin      Pin      `json:"pin"`
	Wait     Wait     `json:"wait"`
	Log      Log      `json:"log"`
}

// Server is the HTTPS side, which the API server calls.
type Server struct {
	// Listen is host:port.
	Listen string `json:"listen"`
	TLS    TLS    `json:"tls"`
	// Concurrency bounds the admission requests under way at once.
	Concurrency int64 `json:"concurrency"`
	// BodyBytes bounds one request. The API server sends the object and, for an
	// update, the old one, of up to 3 MiB each.
	BodyBytes int64 `json:"bodyBytes"`
	// ShutdownDelay is how long requests are still answered after the signal to
	// end, until the API server has heard that this address is gone.
	ShutdownDelay metav1.Duration `json:"shutdownDelay"`
	// ShutdownLimit is for how much longer they are at most: while there are some, and
	// until another replica answers.
	ShutdownLimit metav1.Duration `json:"shutdownLimit"`
}

// TLS names the server's certificate. The files are read again when they
// change and may be missing at start.
type TLS struct {
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	// ClientCAFile is the CA of the API server's client certificate, which an
	// API server has only when its admission configuration says so. Empty asks
	// for none.
	ClientCAFile string `json:"clientCAFile,omitempty"`
	// MinVersion is 1.2 or 1.3.
	MinVersion string `json:"minVersion"`
}

// Provider is where digests and reports come from.
type Provider struct {
	// URL is https://host:port.
	URL string `json:"url"`
	// CAFile is the CA of the provider's certificate; empty is the system's.
	CAFile string `json:"caFile,omitempty"`
	// CertFile and KeyFile are the client certificate towards it.
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
	// ResolveTimeout bounds the question for the digests of one object.
	ResolveTimeout metav1.Duration `json:"resolveTimeout"`
	// Attempts tells it for whom images of Pods are asked, user, controller and Pod,
	// so that it remembers what was not let in: its inventory.enabled. A provider of an
	// older version refuses to answer what it is asked so.
	Attempts bool `json:"attempts"`
}

// Pin says what is pinned and how.
type Pin struct {
	// KeepTag pins a:1 to a:1@sha256:... instead of a@sha256:...
	KeepTag bool `json:"keepTag"`
	// Exempt are registries and paths of them, host[:port][/path], whose images
	// are not pinned: those that update themselves. Whole path components are
	// compared.
	Exempt []string `json:"exempt,omitempty"`
	// Workloads are kinds beside Pod whose templates are pinned: Deployment,
	// StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, ReplicationController,
	// PodTemplate. Pinning templates fights with tools that apply them again.
	Workloads []string `json:"workloads,omitempty"`
	// OnUnresolved is reject or keep, what to do with an image that cannot be
	// pinned; OnUnresolvedByNamespace overrides it by namespace.
	OnUnresolved            admit.Action            `json:"onUnresolved"`
	OnUnresolvedByNamespace map[string]admit.Action `json:"onUnresolvedByNamespace,omitempty"`
}

// KeepsSome says whether an image that cannot be pinned is let in anywhere.
func (v *Pin) KeepsSome() bool {
	for _, action := range v.OnUnresolvedByNamespace {
		if action == admit.Keep {
			return true
		}
	}
	return v.OnUnresolved == admit.Keep
}

// Wait lets an admission wait for its scans.
type Wait struct {
	// Duration is how long, cut to the webhook's timeout; zero does not wait.
	Duration metav1.Duration `json:"duration"`
	// Max is how many owners of Pods wait at once. Each holds a worker of its
	// controller, whatever number of Pods it has; Pods without an owner that tries
	// again count once where they wait for the same scans.
	Max int `json:"max"`
}

// Log is what is written to standard error.
type Log struct {
	Level  string `json:"level"`
	Format string `json:"format"`
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Server: Server{
			Listen:      "127.0.0.1:8444",
			TLS:         TLS{MinVersion: "1.3"},
			Concurrency: 64,
			BodyBytes:   8 << 20,

			ShutdownDelay: metav1.Duration{Duration: 5 * time.Second},
			ShutdownLimit: metav1.Duration{Duration: 15 * time.Second},
		},
		Provider: Provider{
			URL:            "https://127.0.0.1:8443",
			ResolveTimeout: metav1.Duration{Duration: 5 * time.Second},
		},
		Pin:  Pin{OnUnresolved: admit.Reject},
		Wait: Wait{Duration: metav1.Duration{Duration: 10 * time.Second}, Max: 3},
		Log:  Log{Level: "info", Format: "json"},
	}
}

// Settings returns what decisions depend on. The configuration must be valid.
func (c *Config) Settings() admit.Settings {
	return admit.Settings{
		Exempt:         c.Pin.exempt(),
		KeepTag:        c.Pin.KeepTag,
		OnUnresolved:   c.Pin.OnUnresolved,
		ByNamespace:    c.Pin.OnUnresolvedByNamespace,
		Workloads:      c.Pin.Workloads,
		ResolveTimeout: c.Provider.ResolveTimeout.Duration,
		Wait:           c.Wait.Duration.Duration,
		MaxWaiting:     c.Wait.Max,
		Attempts:       c.Provider.Attempts,
	}
}

func (v *Pin) exempt() []reference.Prefix {
	prefixes := make([]reference.Prefix, 0, len(v.Exempt))
	for _, s := range v.Exempt {
		// The zero Prefix would match every image.
		if p, err := reference.ParsePrefix(s); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}
