package config

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/provider/overlay"
)

// EnvPrefix precedes a flag's name in the environment: --tls-cert is also
// IMAGEGATE_TLS_CERT.
const EnvPrefix = "IMAGEGATE_"

func source() overlay.Source[Config] {
	return overlay.Source[Config]{Prefix: EnvPrefix, Defaults: Default, Bind: bind}
}

// AddFileFlag adds --config alone.
func AddFileFlag(fs *pflag.FlagSet) { source().AddFileFlag(fs) }

// AddFlags adds --config and the flags that override single fields of it.
func AddFlags(fs *pflag.FlagSet) { source().AddFlags(fs) }

// CheckVariables refuses variables of ours that stand for no flag, in an environment
// as os.Environ returns it.
func CheckVariables(environ []string) error {
	return source().CheckVariables(environ, EnvPrefix+"MUTATOR_")
}

// scans is the configuration of a command that scans and ends: it logs for a person,
// and only what went wrong unless more is asked for.
func scans() overlay.Source[Config] {
	s := source()
	s.Defaults = func() Config {
		c := Default()
		c.Log = Log{Level: "error", Format: "text"}
		return c
	}
	return s
}

// AddScanFlags adds --config and the flags of commands that scan and end, which
// serve nobody.
func AddScanFlags(fs *pflag.FlagSet) {
	s := scans()
	s.Bind = bindScans
	s.AddFlags(fs)
}

// LoadScan is Load for those commands.
func LoadScan(flags *pflag.FlagSet, env overlay.Env) (Config, error) {
	return load(scans(), flags, env)
}

// AddDataDirFlag adds --data-dir alone.
func AddDataDirFlag(fs *pflag.FlagSet) {
	c := Default()
	dataDirFlag(fs, &c)
}

// AddAddressFlags adds --config and the flags that say where a provider serves on this
// machine, and which certificate it then has.
func AddAddressFlags(fs *pflag.FlagSet) {
	s := source()
	s.Bind = func(fs *pflag.FlagSet, c *Config) {
		dataDirFlag(fs, c)
		addressFlags(fs, c)
	}
	s.AddFlags(fs)
}

func addressFlags(fs *pflag.FlagSet, c *Config) {
	fs.StringVar(&c.Server.Listen, "listen", c.Server.Listen, "host:port to serve HTTPS on")
	fs.StringVar(&c.Server.Probes, "probes", c.Server.Probes, "host:port to serve /healthz, /readyz and /metrics on over plain HTTP")
	fs.StringVar(&c.Server.TLS.CertFile, "tls-cert", c.Server.TLS.CertFile, "server certificate (PEM); without one the provider makes its own")
}

func dataDirFlag(fs *pflag.FlagSet, c *Config) {
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir,
		"folder for reports, queued scans, generated certificates and caches (default: imagegate in the user's cache directory)")
}

// LoadUnchecked is Load for who asks a running provider: its settings are known
// to be right, and its files need not be here.
func LoadUnchecked(flags *pflag.FlagSet, env overlay.Env) (Config, error) {
	return source().Load(flags, env)
}

// Load returns the validated configuration out of its file, the environment
// and the flags that were given.
func Load(flags *pflag.FlagSet, env overlay.Env) (Config, error) { return load(source(), flags, env) }

func load(from overlay.Source[Config], flags *pflag.FlagSet, env overlay.Env) (Config, error) {
	c, err := from.Load(flags, env)
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
	bindScans(fs, c)
	bindServes(fs, c)
}

// bindScans declares those that decide what a scan finds and what it counts for.
func bindScans(fs *pflag.FlagSet, c *Config) {
	str := func(p *string, name, usage string) { fs.StringVar(p, name, *p, usage) }
	dataDirFlag(fs, c)
	str(&c.Registry.DockerConfig, "docker-config", "docker config.json with registry credentials (default of scan and review: the one that docker login writes)")
	fs.StringSliceVar(&c.Registry.Insecure, "insecure-registries", c.Registry.Insecure, "registries (host:port) that are asked over plain HTTP")
	fs.BoolVar(&c.Registry.PullSecrets.Enabled, "pull-secrets", c.Registry.PullSecrets.Enabled, "read from the API server the pull secrets and service accounts that keys name")
	str(&c.Registry.PullSecrets.Kubeconfig, "kubeconfig", "kubeconfig for --pull-secrets (default: in-cluster)")
	fs.IntVar(&c.Scan.Workers, "scan-workers", c.Scan.Workers, "scans that run at once")
	str(&c.Scanner.Harbor.URL, "scanner-url", "Harbor scanner adapter (default: the bundled worker is started)")
	str(&c.Scanner.Bundled.Path, "scanner-path", "binary of the bundled worker (default: beside this one, then in PATH)")
	str((*string)(&c.Scanner.Bundled.Database), "scanner-database", "vulnerability data of the bundled worker: update (download Grype's) or sample (a few advisories, needs no network)")
	str(&c.Scanner.Bundled.DatabaseURL, "scanner-database-url", "where new databases are announced, for a mirror (default: Grype's address)")
	str(&c.Scanner.Bundled.DatabaseFile, "scanner-database-file", "database (archive or .db file) that the bundled worker imports at its start, instead of downloads")
	fs.TextVar(&c.Verdict.SeverityThreshold, "severity-threshold", c.Verdict.SeverityThreshold, "severity from which a finding rejects an image")
	fs.BoolVar(&c.Verdict.OnlyFixed, "only-fixed", c.Verdict.OnlyFixed, "ignore findings without a fixed version")
	str((*string)(&c.Verdict.KEV), "kev", "findings that are known to be exploited: report, or deny whatever their severity, fixed or not")
	str((*string)(&c.Verdict.UnmatchedPackages), "unmatched-packages", "images with packages that nobody could look up: reject or accept")
	str((*string)(&c.Verdict.NoPackages), "no-packages", "images in which there was nothing to look up: reject or accept")
	str((*string)(&c.Verdict.EndOfLife), "end-of-life", "images of a distribution that is known to be past its end of life: reject or accept")
	fs.DurationVar(&c.Verdict.MaxDatabaseAge.Duration, "max-database-age", c.Verdict.MaxDatabaseAge.Duration, "how old the vulnerability data of a scan may be (0: of any age)")
	str(&c.Verdict.ExceptionsFile, "exceptions", "file of exceptions, each with an end and a reason (YAML)")
	fs.StringSliceVar(&c.Verdict.VEXFiles, "vex", c.Verdict.VEXFiles, "OpenVEX documents")
	str(&c.Log.Level, "log-level", "debug, info, warn or error")
	str(&c.Log.Format, "log-format", "json or text")
}

// bindServes declares those of a process that answers others.
func bindServes(fs *pflag.FlagSet, c *Config) {
	str := func(p *string, name, usage string) { fs.StringVar(p, name, *p, usage) }
	str((*string)(&c.Role), "role", "what provider serve does: all, api (answers and queues) or worker (scans what others queue)")
	str(&c.Store.NATS.URL, "nats-url", "NATS that keeps reports and the scan queue (default: embedded, or store.nats.cluster)")
	str(&c.Store.NATS.Cluster.Name, "nats-cluster-name", "this replica's name among store.nats.cluster.peers")
	addressFlags(fs, c)
	str(&c.Server.TLS.KeyFile, "tls-key", "private key of --tls-cert (PEM)")
	str(&c.Server.TLS.ClientCAFile, "client-ca", "CA bundle that client certificates must verify against (PEM)")
	str((*string)(&c.Server.TLS.ClientAuth), "client-auth", "whether clients need a certificate: require or off")
	fs.DurationVar(&c.Server.Budget.Duration, "budget", c.Server.Budget.Duration, "time within which every key is answered")
	fs.DurationVar(&c.Server.ShutdownDelay.Duration, "shutdown-delay", c.Server.ShutdownDelay.Duration, "time to go on answering after the signal to end (none after Ctrl-C)")
	fs.DurationVar(&c.Server.ShutdownLimit.Duration, "shutdown-limit", c.Server.ShutdownLimit.Duration, "how much longer at most to answer, while questions come or nobody else answers")
	fs.BoolVar(&c.Nudge.Enabled, "nudge", c.Nudge.Enabled, "when a scan is over, annotate the controllers whose Pods waited for it")
	str(&c.Nudge.Kubeconfig, "nudge-kubeconfig", "kubeconfig for --nudge (default: in-cluster)")
	fs.BoolVar(&c.Inventory.Enabled, "inventory", c.Inventory.Enabled, "follow which images run where, and remember which were not let in")
	str(&c.Inventory.Kubeconfig, "inventory-kubeconfig", "kubeconfig for --inventory (default: in-cluster)")
	str(&c.View.Listen, "view-listen", "host:port of the pages about images and vulnerabilities, on loopback (default: none)")
	fs.BoolVar(&c.Log.Verbose, "verbose-log", c.Log.Verbose, "log every request and every answer in full")
}
