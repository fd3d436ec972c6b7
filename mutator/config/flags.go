package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/provider/overlay"
)

// EnvPrefix precedes a flag's name in the environment: --tls-cert is also
// IMAGEGATE_MUTATOR_TLS_CERT.
const EnvPrefix = "IMAGEGATE_MUTATOR_"

func source() overlay.Source[Config] {
	return overlay.Source[Config]{Prefix: EnvPrefix, Defaults: Default, Bind: bind}
}

// AddFlags adds --config and the flags that override single fields of it.
func AddFlags(fs *pflag.FlagSet) { source().AddFlags(fs) }

// CheckVariables refuses variables of ours that stand for no flag, in an environment
// as os.Environ returns it.
func CheckVariables(environ []string) error { return source().CheckVariables(environ) }

// Load returns the validated configuration out of its file, the environment
// and the flags that were given.
func Load(flags *pflag.FlagSet, env overlay.Env) (Config, error) {
	c, err := source().Load(flags, env)
	if err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("invalid configuration: %w", err)
	}
	return c, nil
}

// bind declares each flag with its field in c as storage and the field's value
// as default.
func bind(fs *pflag.FlagSet, c *Config) {
	str := func(p *string, name, usage string) { fs.StringVar(p, name, *p, usage) }
	str(&c.Server.Listen, "listen", "host:port to serve HTTPS on")
	str(&c.Server.TLS.CertFile, "tls-cert", "server certificate (PEM), required")
	str(&c.Server.TLS.KeyFile, "tls-key", "private key of --tls-cert (PEM), required")
	str(&c.Server.TLS.ClientCAFile, "client-ca", "CA bundle (PEM) of the API server's client certificate; empty: no client needs a certificate")
	str(&c.Server.TLS.MinVersion, "tls-min-version", "oldest TLS version to accept: 1.2 or 1.3")
	fs.Int64Var(&c.Server.Concurrency, "max-concurrent", c.Server.Concurrency, "admission requests that are answered at once")
	fs.DurationVar(&c.Server.ShutdownDelay.Duration, "shutdown-delay", c.Server.ShutdownDelay.Duration, "time to go on answering after the signal to end")
	fs.DurationVar(&c.Server.ShutdownLimit.Duration, "shutdown-limit", c.Server.ShutdownLimit.Duration, "how much longer at most to answer, while questions come or nobody else answers")
	str(&c.Provider.URL, "provider-url", "URL of the provider")
	str(&c.Provider.CAFile, "provider-ca", "CA bundle (PEM) of the provider's certificate (default: the system's)")
	str(&c.Provider.CertFile, "provider-client-cert", "client certificate (PEM) towards the provider")
	str(&c.Provider.KeyFile, "provider-client-key", "private key of --provider-client-cert (PEM)")
	fs.DurationVar(&c.Provider.ResolveTimeout.Duration, "resolve-timeout", c.Provider.ResolveTimeout.Duration, "time to resolve the images of one object")
	fs.DurationVar(&c.Wait.Duration.Duration, "wait", c.Wait.Duration.Duration, "how long an admission may wait for its scans, never longer than the webhook's timeout; 0: not at all")
	fs.IntVar(&c.Wait.Max, "max-waiting", c.Wait.Max, "ReplicaSets, Jobs and other owners of Pods that may wait at once; all Pods of one owner count as one")
	fs.BoolVar(&c.Pin.KeepTag, "keep-tag", c.Pin.KeepTag, "pin to repository:tag@digest instead of repository@digest")
	fs.StringSliceVar(&c.Pin.Exempt, "exempt", c.Pin.Exempt, "registries and paths whose images are not pinned, for example registry.example.com/agents")
	fs.StringSliceVar(&c.Pin.Workloads, "workloads", c.Pin.Workloads, "further kinds whose Pod templates are pinned, for example Deployment,CronJob")
	str((*string)(&c.Pin.OnUnresolved), "on-unresolved", "what to do with an image that cannot be pinned: reject or keep")
	fs.Var((*byNamespace)(&c.Pin.OnUnresolvedByNamespace), "on-unresolved-namespace", "--on-unresolved for one namespace (repeatable)")
	str(&c.Log.Level, "log-level", "debug, info, warn or error")
	str(&c.Log.Format, "log-format", "json or text")
}

// byNamespace is the flag value of namespace=action pairs. Flags replace what
// the file says; the environment adds to it.
type byNamespace map[string]admit.Action

// String implements pflag.Value.
func (b *byNamespace) String() string { return strings.Join(b.GetSlice(), ",") }

// Type implements pflag.Value.
func (b *byNamespace) Type() string { return "namespace=action" }

// Set implements pflag.Value.
func (b *byNamespace) Set(s string) error { return b.add(strings.Split(s, ",")) }

// Append implements pflag.SliceValue.
func (b *byNamespace) Append(s string) error { return b.add([]string{s}) }

// Replace implements pflag.SliceValue.
func (b *byNamespace) Replace(pairs []string) error {
	*b = nil
	return b.add(pairs)
}

// GetSlice implements pflag.SliceValue.
func (b *byNamespace) GetSlice() []string {
	pairs := make([]string, 0, len(*b))
	for _, namespace := range slices.Sorted(maps.Keys(*b)) {
		pairs = append(pairs, namespace+"="+string((*b)[namespace]))
	}
	return pairs
}

func (b *byNamespace) add(pairs []string) error {
	for _, pair := range pairs {
		namespace, action, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not namespace=action", pair)
		}
		if *b == nil {
			*b = byNamespace{}
		}
		(*b)[namespace] = admit.Action(action)
	}
	return nil
}
