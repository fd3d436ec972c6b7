package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/imagegate/imagegate/provider/platform"
	"github.com/imagegate/imagegate/provider/registry/transport"
)

// Options configures a Resolver. The zero value is usable: public registries
// over HTTPS, anonymous access, the defaults named below.
type Options struct {
	// Platforms are the platforms in use, by which an index is judged as far as
	// the asker does not know better, os/arch[/variant] with * for any; default
	// linux/amd64 and linux/arm64. Those the index does not have are passed over.
	Platforms []string
	// ReadPlatform has a manifest without an index held against the platforms that the
	// asker names, by its configuration: an image that is for another one only is no
	// answer. It is for who asks about one image; a container runtime does not look, and
	// each look is a request more.
	ReadPlatform bool
	// Insecure lists the registries (host[:port]) that are spoken to in plain
	// HTTP. Every other one is spoken to in HTTPS, loopback included.
	Insecure []string
	// Allowed are the registries and repository paths (host[:port][/path]) whose
	// images are looked up; default all.
	Allowed []string
	// Hosts are the certificate authorities that registries have of their own, and
	// the token servers that may have a private address; nil is none.
	Hosts *transport.Hosts
	// DockerConfig is the path of a docker config.json with credentials for
	// every asker; empty means none. It is read again when it changes.
	DockerConfig string
	// Advice ends the failure of an image that no credentials open: what the person
	// who asks can do. Empty is right where many ask.
	Advice string
	// PullSecrets says whether and how Secrets named by the asker are read.
	PullSecrets PullSecrets
	// TagTTL is how long a tag's digest is remembered; default 15s. PinTTL is the
	// same for ResolveNow; zero means not at all.
	TagTTL time.Duration
	PinTTL time.Duration
	// AccessTTL is how long proof of pull access is remembered; default 5m.
	AccessTTL time.Duration
	// FailureTTL is how long a failed resolution is answered from memory;
	// default 3s.
	FailureTTL time.Duration
	// Timeout bounds one resolution however many requests it takes; default 10s.
	Timeout time.Duration
	// CacheSize bounds each of the caches, in entries; default 8192.
	CacheSize int
	// Concurrency bounds the requests in flight to one registry; default 8.
	Concurrency int
	// Rate bounds the requests per second to one registry; default 100, with
	// bursts of as many.
	Rate int
	// Logger is told of what is configured and cannot be used; default none.
	Logger *slog.Logger
	// UserAgent is sent with every request; default "imagegate".
	UserAgent string
}

// PullSecrets configures the reading of image pull Secrets and service
// accounts from the API server.
type PullSecrets struct {
	// Enabled switches it on. Off, the asker's names are ignored.
	Enabled bool
	// Kubeconfig is the path of a kubeconfig file; empty means the service
	// account of the Pod the provider runs in.
	Kubeconfig string
	// Client replaces the client made from Kubeconfig when not nil.
	Client kubernetes.Interface
	// TTL is how long a Secret or service account is remembered, a missing one
	// included; default 30s.
	TTL time.Duration
}

const (
	defaultTagTTL      = 15 * time.Second
	defaultAccessTTL   = 5 * time.Minute
	defaultFailureTTL  = 3 * time.Second
	defaultTimeout     = 10 * time.Second
	defaultSecretTTL   = 30 * time.Second
	defaultCacheSize   = 8192
	defaultConcurrency = 8
	defaultRate        = 100
	defaultUserAgent   = "imagegate"
)

func defaultPlatforms() []string { return []string{"linux/amd64", "linux/arm64"} }

func (o Options) withDefaults() (Options, error) {
	if len(o.Platforms) == 0 {
		o.Platforms = defaultPlatforms()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.UserAgent == "" {
		o.UserAgent = defaultUserAgent
	}
	return o, errors.Join(
		duration("TagTTL", &o.TagTTL, defaultTagTTL),
		duration("PinTTL", &o.PinTTL, 0),
		duration("AccessTTL", &o.AccessTTL, defaultAccessTTL),
		duration("FailureTTL", &o.FailureTTL, defaultFailureTTL),
		duration("Timeout", &o.Timeout, defaultTimeout),
		duration("PullSecrets.TTL", &o.PullSecrets.TTL, defaultSecretTTL),
		number("CacheSize", &o.CacheSize, defaultCacheSize),
		number("Concurrency", &o.Concurrency, defaultConcurrency),
		number("Rate", &o.Rate, defaultRate),
	)
}

func duration(field string, v *time.Duration, def time.Duration) error {
	if *v < 0 {
		return fmt.Errorf("%s is %s: it cannot be negative", field, *v)
	}
	if *v == 0 {
		*v = def
	}
	return nil
}

func number(field string, v *int, def int) error {
	if *v < 0 {
		return fmt.Errorf("%s is %d: it cannot be negative", field, *v)
	}
	if *v == 0 {
		*v = def
	}
	return nil
}

// platforms are those in use. A pattern such as windows/* has all that an index
// offers for it judged.
func (o Options) platforms() (platform.Set, error) {
	var list platform.Set
	for _, s := range o.Platforms {
		set, err := platform.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("registry platforms: %w", err)
		}
		list = append(list, set...)
	}
	return list, nil
}
