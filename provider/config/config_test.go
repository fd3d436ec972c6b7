package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/overlay/overlaytest"
	"github.com/imagegate/imagegate/provider/report"
)

func load(t *testing.T, file string, env map[string]string, args ...string) (config.Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs)
	if file != "" {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(fs, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Verdict.SeverityThreshold != report.SeverityHigh || c.Server.TLS.ClientAuth != config.ClientAuthRequire {
		t.Errorf("defaults are not fail-closed: %+v", c)
	}
}

func TestPrecedence(t *testing.T) {
	const file = `
server: {listen: "127.0.0.1:1", budget: 100ms}
registry: {insecure: ["file:5000"]}
verdict: {severityThreshold: low}
`
	env := map[string]string{
		"IMAGEGATE_BUDGET":              "200ms",
		"IMAGEGATE_INSECURE_REGISTRIES": "env:5000,other:5000",
		"IMAGEGATE_SEVERITY_THRESHOLD":  "medium",
	}
	c, err := load(t, file, env, "--severity-threshold", "critical", "--only-fixed")
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.Listen != "127.0.0.1:1" {
		t.Errorf("listen = %q, want the file's", c.Server.Listen)
	}
	if c.Server.Budget.Duration != 200*time.Millisecond {
		t.Errorf("budget = %s, want the environment's", c.Server.Budget.Duration)
	}
	if got := strings.Join(c.Registry.Insecure, " "); got != "env:5000 other:5000" {
		t.Errorf("insecure = %q, want the environment's", got)
	}
	if c.Verdict.SeverityThreshold != report.SeverityCritical || !c.Verdict.OnlyFixed {
		t.Errorf("verdict = %+v, want the flags'", c.Verdict)
	}
	c, err = load(t, file, env, "--insecure-registries", "flag:1", "--insecure-registries", "flag:2")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Registry.Insecure, " "); got != "flag:1 flag:2" {
		t.Errorf("insecure = %q, want the flags'", got)
	}
}

// A field that has a flag is the file's when neither flag nor environment says
// anything.
func TestFileAlone(t *testing.T) {
	const file = `
dataDir: /data
role: api
server:
  listen: "127.0.0.1:1"
  probes: "127.0.0.1:2"
  tls: {certFile: config_test.go, keyFile: config.go, clientCAFile: flags.go, clientAuth: "off"}
  budget: 100ms
  shutdownDelay: 1s
  shutdownLimit: 2s
registry:
  dockerConfig: config_test.go
  insecure: ["file:5000"]
  pullSecrets: {enabled: true, kubeconfig: config.go}
scan: {workers: 7}
scanner:
  harbor: {url: "http://file:1"}
  pullThrough: {listen: ":8446", url: "http://provider:8446"}
  bundled: {path: config_test.go, database: sample, databaseUrl: "http://mirror"}
store: {nats: {url: 'nats://127.0.0.1:4222'}}
verdict: {severityThreshold: medium, onlyFixed: true, kev: deny, minCVEAge: 72h, minFixAge: 48h, exceptionsFile: config.go, vexFiles: [flags.go], unmatchedPackages: accept, noPackages: accept, endOfLife: accept, maxDatabaseAge: 120h}
nudge: {enabled: true, kubeconfig: config.go}
inventory: {enabled: true, kubeconfig: config.go, maxPods: 7, denials: {keepFor: 48h, bytes: 1048576}}
view: {listen: "127.0.0.1:8090"}
log: {level: debug, format: text, verbose: true}
`
	got, err := load(t, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	if err := yaml.UnmarshalStrict([]byte(file), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the file says (-) and was taken for (+):\n%s", diff)
	}
	// Every flag's field must be in the file above.
	flags := func(c config.Config) map[string]string {
		fs, values := pflag.NewFlagSet("test", pflag.ContinueOnError), map[string]string{}
		config.Bind(fs, &c)
		fs.VisitAll(func(f *pflag.Flag) { values[f.Name] = f.Value.String() })
		return values
	}
	defaults := flags(config.Default())
	for name, value := range flags(got) {
		// The name among peers excludes the file's nats.url, a file the sample.
		if value == defaults[name] && name != "nats-cluster-name" && name != "scanner-database-file" {
			t.Errorf("--%s is not tried: the file says %q, the default", name, value)
		}
	}
}

// Replicas share a file; only the name differs.
func TestTheNameAmongPeersComesFromTheEnvironment(t *testing.T) {
	const file = `store: {nats: {cluster: {peers: {a-0: "a-0:1", a-1: "a-1:1", a-2: "a-2:1"}, tls: {caFile: a, certFile: b, keyFile: c}}}}`
	c, err := load(t, file, map[string]string{"IMAGEGATE_NATS_CLUSTER_NAME": "a-1"})
	if err != nil || c.Store.NATS.Cluster.Name != "a-1" {
		t.Errorf("name %q, %v", c.Store.NATS.Cluster.Name, err)
	}
	if _, err := load(t, file, nil); err == nil || !strings.Contains(err.Error(), "store.nats.cluster.name") {
		t.Errorf("without a name: %v", err)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	settings := filepath.Join("..", "..", "charts", "imagegate", "SETTINGS.md")
	overlaytest.ExampleIsWhole(t, settings, "dataDir:", config.Default())
	flags := pflag.NewFlagSet("flags", pflag.ContinueOnError)
	config.AddFlags(flags)
	overlaytest.FlagsAreNamed(t, settings, "### Flags and environment of the provider", flags)
}

func TestTheExamplesExist(t *testing.T) {
	for _, file := range []string{filepath.Join("..", "README.md"), filepath.Join("..", "..", "README.md")} {
		overlaytest.ExamplesExist[config.Config](t, file)
	}
}

func TestErrorsNameTheField(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"unknown field", "server: {lisen: x}", `unknown field "server.lisen"`},
		{"wrong type", "scan: {workers: many}", "workers"},
		{"duplicate", "log: {level: info}\nlog: {level: debug}", `"log" already set`},
		{"listen", "server: {listen: nowhere}", "server.listen"},
		{"budget", "server: {budget: 31s}", "server.budget: Invalid value: \"31s\": must be at most 30s"},
		{"zero", "server: {budget: 0s}", "server.budget"},
		{"max wait", "server: {maxWait: 1m}", "server.maxWait"},
		{"budget above max wait", "server: {budget: 3s, maxWait: 2s}", "server.budget: Invalid value: \"3s\": must not be longer than server.maxWait, 2s"},
		{"a view above an answer", "server: {limits: {fullViewBytes: 33554432}}", "server.limits.fullViewBytes"},
		{"a key above a request", "server: {limits: {keyBytes: 4096, bodyBytes: 2048}}", "server.limits.keyBytes"},
		{"a look-up above a scan", "{registry: {timeout: 1m}, scan: {deadline: 30s}}", "registry.timeout"},
		{"caches above the disk", "scanner: {bundled: {diskBytes: 100, layerCacheBytes: 90, listCacheBytes: 20}}", "scanner.bundled.diskBytes"},
		{"a route with a wildcard", "scanner: {routes: [{prefix: ghcr.io/acme/*, harbor: {url: 'http://127.0.0.1:1'}}]}", "scanner.routes[0].prefix: Invalid value: \"ghcr.io/acme/*\": no image has a *: write ghcr.io/acme/ for all below it"},
		{"a registry with a scheme", "registry: {allowed: ['https://ghcr.io']}", "registry.allowed[0]: Invalid value: \"https://ghcr.io\": no image has a scheme: write ghcr.io"},
		{"half a key pair", "server: {tls: {certFile: config_test.go, clientCAFile: config_test.go}}", "server.tls"},
		{"shutdown delay", "server: {shutdownDelay: -1s}", "server.shutdownDelay"},
		{"shutdown limit", "server: {shutdownLimit: -1s}", "server.shutdownLimit"},
		{"no client CA", "server: {tls: {certFile: config_test.go, keyFile: config_test.go}}", "server.tls.clientCAFile"},
		{"missing file", "registry: {dockerConfig: /does/not/exist}", "registry.dockerConfig"},
		{"client auth", "server: {tls: {clientAuth: maybe}}", "server.tls.clientAuth"},
		{"attached, and nobody's keys", "scanner: {attached: {maxAge: 24h}}", "scanner.attached.keyFiles: Required value: must be set when other attached settings are"},
		{"attached, unstated", "scanner: {attached: {unstated: maybe}}", "scanner.attached.unstated"},
		{"registry with scheme", `registry: {insecure: ["http://a:5000"]}`, "registry.insecure[0]"},
		{"token server with a name", `registry: {tokenHosts: ["10.0.0.5:5001", "auth.example.com"]}`, "registry.tokenHosts[1]"},
		{"platform", `registry: {platforms: [linux]}`, "registry.platforms[0]: Invalid value: \"linux\": must be os/architecture[/variant]"},
		{"architecture", `registry: {platforms: [linux/amd46]}`, `registry.platforms[0]: Invalid value: "linux/amd46": no architecture is called amd46: did you mean amd64?`},
		{"operating system", `registry: {platforms: [linux/amd64, linus/*]}`, "registry.platforms[1]: Invalid value: \"linus/*\": no operating system is called linus: did you mean linux?"},
		{"two platforms in one", `registry: {platforms: ["linux/amd64,linux/arm64"]}`, "registry.platforms[0]: Invalid value: \"linux/amd64,linux/arm64\": must be one platform"},
		{"no platform", `registry: {platforms: []}`, "registry.platforms"},
		{"backoff", "scan: {backoff: {initial: 2s, max: 1s}}", "scan.backoff.max"},
		{"refresh after the end", "scan: {refresh: {after: 8h}, maxAge: 8h}", "scan.refresh.after"},
		{"no refresh rate", "scan: {refresh: {perMinute: 0}}", "scan.refresh.perMinute"},
		{"negative workers", "scan: {workers: -1}", "scan.workers"},
		{"no time before a scan gives way", "scan: {yieldAfter: 0s}", "scan.yieldAfter"},
		{"no time before a scan is given up", "scan: {abandonAfter: -1s}", "scan.abandonAfter"},
		{"no worker for a registry", "scan: {perRegistry: 0}", "scan.perRegistry"},
		{"scanner URL", "scanner: {harbor: {url: 127.0.0.1:8081}}", "scanner.harbor.url"},
		{"no way for a scanner elsewhere to the provider", "scanner: {harbor: {url: 'http://a'}}", "scanner.pullThrough.url"},
		{"nor for that of a route", "scanner: {harbor: {url: 'http://localhost:1'}, routes: [{prefix: a.b, harbor: {url: 'http://a'}}]}", "the scanner of scanner.routes[0].harbor.url"},
		{"a way that nobody goes", "scanner: {harbor: {url: 'http://a', verify: 'off'}, pullThrough: {listen: ':1', url: 'http://b'}}", "scanner.pullThrough: Forbidden"},
		{"an address with a path", "scanner: {harbor: {url: 'http://a'}, pullThrough: {listen: ':1', url: 'http://b/v2'}}", "scanner.pullThrough.url"},
		{"an address without a listener", "scanner: {harbor: {url: 'http://a'}, pullThrough: {url: 'http://b'}}", "scanner.pullThrough.listen"},
		{"a listener that is none", "scanner: {harbor: {url: 'http://a'}, pullThrough: {listen: b, url: 'http://b'}}", "scanner.pullThrough.listen"},
		{"a listener without an address", "scanner: {harbor: {url: 'http://127.0.0.1:1'}, pullThrough: {listen: ':1'}}", "scanner.pullThrough.url"},
		{"https without a certificate", "scanner: {harbor: {url: 'http://a'}, pullThrough: {listen: ':1', url: 'https://b'}}", "server.tls.certFile"},
		{"verify", "scanner: {harbor: {url: 'http://127.0.0.1:1', verify: maybe}}", "scanner.harbor.verify"},
		{"two scanners", "scanner: {harbor: {url: 'http://a'}, anchore: {url: 'http://b'}}", "scanner.anchore.url"},
		{"token without URL", "scanner: {anchore: {user: me}}", "scanner.anchore.url"},
		{"missing token file", "scanner: {harbor: {url: 'http://a', tokenFile: /does/not/exist}}", "scanner.harbor.tokenFile"},
		{"route without prefix", "scanner: {routes: [{harbor: {url: 'http://a'}}]}", "scanner.routes[0].prefix"},
		{"route without scanner", "scanner: {routes: [{prefix: ghcr.io}]}", "scanner.routes[0]"},
		{"unknown field of a route", "scanner: {routes: [{prefix: ghcr.io, harber: {}}]}", "scanner.routes[0].harber"},
		{"database", "scanner: {bundled: {database: none}}", "scanner.bundled.database"},
		{"negative memory", "scanner: {bundled: {memoryBytes: -1}}", "scanner.bundled.memoryBytes"},
		{"negative disk", "scanner: {bundled: {diskBytes: -1}}", "scanner.bundled.diskBytes"},
		{"no socket", "scanner: {bundled: {url: \"http://scanner:8081\"}}", "scanner.bundled.url"},
		{"socket without a whole path", "scanner: {bundled: {url: \"unix://run/scanner.sock\"}}", "scanner.bundled.url"},
		{"socket and sizes", "scanner: {bundled: {url: \"unix:///run/scanner.sock\", listCacheBytes: 1}}", "scanner.bundled.listCacheBytes"},
		{"socket and cache", "scanner: {bundled: {url: \"unix:///run/scanner.sock\", cacheDir: /c}}", "scanner.bundled.url: Forbidden"},
		{"socket and adapter", "scanner: {bundled: {url: \"unix:///run/scanner.sock\"}, harbor: {url: \"http://127.0.0.1:1\"}}", "scanner.bundled.url: Forbidden"},
		{"unmatched packages", "verdict: {unmatchedPackages: maybe}", `verdict.unmatchedPackages: Invalid value: "maybe": must be one of accept, reject`},
		{"unmatched packages left blank", "verdict: {unmatchedPackages: \"\"}", "verdict.unmatchedPackages: Invalid value"},
		{"no packages", "verdict: {noPackages: perhaps}", "verdict.noPackages: Invalid value"},
		{"exploited", "verdict: {kev: ignore}", "verdict.kev: Invalid value"},
		{"age of a vulnerability", "verdict: {minCVEAge: -1h}", "verdict.minCVEAge: Invalid value"},
		{"age of a fix", "verdict: {minFixAge: -1h}", "verdict.minFixAge: Invalid value"},
		{"end of life", "verdict: {endOfLife: never}", "verdict.endOfLife: Invalid value"},
		{"age of the data", "verdict: {maxDatabaseAge: -1h}", "verdict.maxDatabaseAge: Invalid value"},
		{"empty report", "scanner: {harbor: {url: http://x, emptyReport: maybe}}", `scanner.harbor.emptyReport: Invalid value: "maybe": must be one of accept, reject`},
		{"empty report of a route", "scanner: {routes: [{prefix: a, harbor: {url: http://x, emptyReport: maybe}}]}", `scanner.routes[0].harbor.emptyReport: Invalid value: "maybe": must be one of`},
		{"installed nowhere", "install: {enabled: true, certificates: {dnsNames: [a]}}", "install.provider.url"},
		{"installed without names", "install: {enabled: true, provider: {url: 'https://a'}}", "install.certificates.dnsNames"},
		{"install mode", "install: {enabled: true, mode: some}", "install.mode"},
		{"half an owner", "install: {enabled: true, owner: {name: a}}", "install.owner"},
		{"the Provider's timeout", "install: {enabled: true, provider: {timeout: 500ms}}", "install.provider.timeout"},
		{"no policies", "install: {enabled: true, policies: {configMap: ''}}", "install.policies.configMap"},
		{"no key", "install: {enabled: true, policies: {key: ''}}", "install.policies.key"},
		{"certificates' source", "install: {enabled: true, certificates: {source: vault}}", "install.certificates.source"},
		{"no CA file", "install: {enabled: true, certificates: {source: files}}", "install.certificates.caFile"},
		{"no Secret", "install: {enabled: true, certificates: {source: secret, secret: ''}}", "install.certificates.secret"},
		{"a CA that ends first", "install: {enabled: true, certificates: {caValidity: 1h}}", "install.certificates.caValidity"},
		{"two certificates", "install: {enabled: true}\nserver: {tls: {certFile: config_test.go, keyFile: config_test.go, clientCAFile: config_test.go}}", "server.tls.certFile: Forbidden"},
		{"no nudges", "nudge: {perSecond: 0}", "nudge.perSecond: Invalid value"},
		{"no Pods", "inventory: {maxPods: 0}", "inventory.maxPods: Invalid value"},
		{"kubeconfig of the inventory", "inventory: {kubeconfig: /does/not/exist}", "inventory.kubeconfig: Invalid value"},
		{"no bytes of denials", "inventory: {denials: {bytes: 0}}", "inventory.denials.bytes: Invalid value"},
		{"denials for minutes", "inventory: {denials: {keepFor: 5m}}", "inventory.denials.keepFor: Invalid value"},
		{"kubeconfig of nudges", "nudge: {kubeconfig: /does/not/exist}", "nudge.kubeconfig: Invalid value"},
		{"severity", "verdict: {severityThreshold: bad}", `verdict.severityThreshold: severity "bad" must be one of Critical`},
		{"no duration", "server: {budget: soon}", `server.budget: "soon" must be a duration such as`},
		{"duration without a unit", `scan: {negative: {max: "30"}}`, `scan.negative.max: "30" must be a duration such as`},
		{"duration of a route", "scanner: {routes: [{prefix: a.b, harbor: {url: 'http://a'}}, {prefix: c.d, harbor: {pollInterval: x}}]}", "scanner.routes[1].harbor.pollInterval: \"x\" must be a duration"},
		{"duration of a promoted field", "scanner: {harbor: {pollInterval: x}}", "scanner.harbor.pollInterval: \"x\" must be a duration"},
		{"log level", "log: {level: loud}", "log.level"},
		{"view limit", "server: {limits: {fullViewBytes: 100}}", "server.limits.fullViewBytes"},
		{"answer limit", "server: {limits: {answerBytes: 1048575}}", "server.limits.answerBytes"},
		{"limit of all answers", "server: {limits: {inFlightBytes: 16777215}}", "server.limits.inFlightBytes"},
		{"a platform without architecture", "registry: {platforms: [linux]}", "registry.platforms[0]"},
		{"memory", "store: {memory: {reports: 0}}", "store.memory.reports"},
		{"memory's bytes", "store: {memory: {bytes: 0}}", "store.memory.bytes"},
		{"bytes of reports", "store: {bytes: 0}", "store.bytes"},
		{"bytes in memory", "store: {cacheBytes: -1}", "store.cacheBytes"},
		{"time of a read", "store: {timeout: 0s}", "store.timeout"},
		{"bytes of tags", "store: {tagBytes: 0}", "store.tagBytes"},
		{"kept for less than nothing", "store: {keepFor: -1h}", "store.keepFor"},
		{"kept for less than they count", "store: {keepFor: 24h}", "store.keepFor: Invalid value: \"24h0m0s\": must not be shorter than scan.maxAge, 168h0m0s"},
		{"a role that there is not", "role: both", "role: Invalid value"},
		{"an api that no worker can reach", "role: api", "role: Invalid value: \"api\": needs store.nats.url or store.nats.cluster"},
		{"a worker that nobody can ask how it is", "role: worker\nstore: {nats: {url: 'nats://a:1'}}", "server.probes"},
		{"probes", "server: {probes: nowhere}", "server.probes"},
		{"grace", "scan: {grace: -1s}", "scan.grace"},
		{"pages nowhere", "view: {listen: nowhere}", "view.listen"},
		{"pages for all", "view: {listen: ':8090'}", "view.listen: Invalid value: \":8090\": must be an address of loopback"},
		{"pages at an address", "view: {listen: '10.0.0.1:8090'}", "view.listen: Invalid value: \"10.0.0.1:8090\": must be an address of loopback"},
		{"pages at any address", "view: {listen: '0.0.0.0:8090'}", "must be an address of loopback"},
		{"pages of a worker", "role: worker\nserver: {probes: ':1'}\nview: {listen: '127.0.0.1:8090'}\nstore: {nats: {url: 'nats://a:1'}}", "view.listen: Forbidden"},
		{"credentials for no server", "store: {nats: {credsFile: a}}", "must be set when store.nats.credsFile is"},
		{"two places", "store: {nats: {url: 'nats://a:1', cluster: {name: a}}}", "store.nats.cluster: Forbidden"},
		{"two peers", "store: {nats: {cluster: {name: a, peers: {a: 'a:1', b: 'b:1'}}}}", "store.nats.cluster.peers"},
		{"a stranger", "store: {nats: {cluster: {name: d, peers: {a: 'a:1', b: 'b:1', c: 'c:1'}}}}", "store.nats.cluster.name"},
		{"routes without certificates", "store: {nats: {cluster: {name: a, peers: {a: 'a:1', b: 'b:1', c: 'c:1'}}}}", "store.nats.cluster.tls"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, tc.file, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v does not name %q", err, tc.want)
			}
		})
	}
}

func TestAScannerOnThisMachineNeedsNoAddress(t *testing.T) {
	for _, file := range []string{
		"scanner: {harbor: {url: 'http://127.0.0.1:1'}}",
		"scanner: {harbor: {url: 'http://localhost:1', verify: proxy}}",
		"scanner: {harbor: {url: 'https://[::1]:1'}, pullThrough: {listen: '127.0.0.1:8446'}}",
		"scanner: {harbor: {url: 'http://a', verify: 'off'}}",
		"scanner: {anchore: {url: 'http://a'}}",
		"scanner: {routes: [{prefix: a.b, harbor: {url: 'http://a'}}], pullThrough: {listen: ':8446', url: 'http://b:8446'}}",
	} {
		if _, err := load(t, file, nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestBadEnvironmentNamesTheVariable(t *testing.T) {
	_, err := load(t, "", map[string]string{"IMAGEGATE_BUDGET": "soon"})
	if err == nil || !strings.Contains(err.Error(), "IMAGEGATE_BUDGET") {
		t.Errorf("error %v does not name the variable", err)
	}
}

func TestHowLongReportsAreKept(t *testing.T) {
	for file, want := range map[string]time.Duration{
		"": 8 * 24 * time.Hour,
		"scan: {maxAge: 48h, refresh: {after: 1h}}":  72 * time.Hour,
		"scan: {maxAge: 0s}":                         0,
		"store: {keepFor: 400h}":                     400 * time.Hour,
		"{store: {keepFor: 1h}, scan: {maxAge: 0s}}": time.Hour,
	} {
		c, err := load(t, file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.KeepReports(); got != want {
			t.Errorf("%q: %s, want %s", file, got, want)
		}
	}
}

// Where the bundled worker's database comes from is said once.
func TestTheDatabaseHasOneSource(t *testing.T) {
	for file, want := range map[string]string{
		`scanner: {bundled: {databaseFile: config.go}}`:                                        "",
		`scanner: {bundled: {databaseFile: config.go, database: sample}}`:                      "scanner.bundled.databaseFile",
		`scanner: {bundled: {databaseFile: config.go, databaseUrl: "https://mirror"}}`:         "scanner.bundled.databaseFile",
		`scanner: {bundled: {databaseFile: nowhere}}`:                                          "scanner.bundled.databaseFile",
		`scanner: {bundled: {databaseUrl: mirror}}`:                                            "scanner.bundled.databaseUrl",
		`scanner: {bundled: {databaseUrl: "https://mirror", url: "unix:///run/scanner.sock"}}`: "scanner.bundled.url",
	} {
		if _, err := load(t, file, nil); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Commands that scan and end log for people, and what they are told to.
func TestTheLogOfACommand(t *testing.T) {
	for _, tc := range []struct {
		args []string
		env  map[string]string
		want config.Log
	}{
		{nil, nil, config.Log{Level: "error", Format: "text"}},
		{[]string{"--log-level", "info"}, nil, config.Log{Level: "info", Format: "text"}},
		{[]string{"--log-format", "json"}, map[string]string{"IMAGEGATE_LOG_LEVEL": "info"}, config.Log{Level: "info", Format: "json"}},
	} {
		fs := pflag.NewFlagSet("scan", pflag.ContinueOnError)
		config.AddScanFlags(fs)
		if err := fs.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		c, err := config.LoadScan(fs, func(k string) (string, bool) { v, ok := tc.env[k]; return v, ok })
		if err != nil || c.Log != tc.want {
			t.Errorf("%v %v: %+v, %v", tc.args, tc.env, c.Log, err)
		}
		if fs.Lookup("listen") != nil || fs.Lookup("verbose-log") != nil {
			t.Error("it has the server's flags")
		}
	}
}
