package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/mutator/config"
	"github.com/imagegate/imagegate/provider/overlay/overlaytest"
)

// load adds the certificate that every configuration needs.
func load(t *testing.T, file string, env map[string]string, args ...string) (config.Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs)
	args = append([]string{"--tls-cert", "tls.crt", "--tls-key", "tls.key"}, args...)
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

func TestDefaults(t *testing.T) {
	c, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Settings()
	if s.OnUnresolved != admit.Reject || s.Wait != 10*time.Second || s.MaxWaiting != 3 || s.KeepTag || len(s.Workloads) != 0 {
		t.Errorf("defaults: %+v", s)
	}
}

func TestPrecedence(t *testing.T) {
	const file = `
server: {listen: "127.0.0.1:1"}
provider: {url: "https://file:1", resolveTimeout: 1s}
pin: {onUnresolved: keep, onUnresolvedByNamespace: {file: keep}, workloads: [Job]}
wait: {duration: 1s, max: 9}
`
	env := map[string]string{
		"IMAGEGATE_MUTATOR_WAIT":                    "2s",
		"IMAGEGATE_MUTATOR_PROVIDER_URL":            "https://env:1",
		"IMAGEGATE_MUTATOR_WORKLOADS":               "Deployment,CronJob",
		"IMAGEGATE_MUTATOR_ON_UNRESOLVED_NAMESPACE": "env=keep,env2=reject",
	}
	c, err := load(t, file, env, "--provider-url", "https://flag:1", "--keep-tag")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Settings()
	if c.Server.Listen != "127.0.0.1:1" || s.OnUnresolved != admit.Keep || s.ResolveTimeout != time.Second || s.MaxWaiting != 9 {
		t.Errorf("the file's values: %+v", c)
	}
	if s.Wait != 2*time.Second || !slices.Equal(s.Workloads, []string{"Deployment", "CronJob"}) {
		t.Errorf("the environment's values: %+v", s)
	}
	if want := (map[string]admit.Action{"file": "keep", "env": "keep", "env2": "reject"}); !maps.Equal(s.ByNamespace, want) {
		t.Errorf("by namespace: %v", s.ByNamespace)
	}
	if c.Provider.URL != "https://flag:1" || !s.KeepTag {
		t.Errorf("the flags' values: %+v", c)
	}
	c, err = load(t, file, env, "--on-unresolved-namespace", "a=keep", "--on-unresolved-namespace", "b=reject", "--wait", "0")
	if err != nil {
		t.Fatal(err)
	}
	if want := (map[string]admit.Action{"a": "keep", "b": "reject"}); !maps.Equal(c.Pin.OnUnresolvedByNamespace, want) || c.Wait.Duration.Duration != 0 {
		t.Errorf("repeated flag: %+v", c.Pin)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	settings := filepath.Join("..", "..", "charts", "imagegate", "SETTINGS.md")
	overlaytest.ExampleIsWhole(t, settings, "server:\n  listen: \":8444\"", config.Default())
	flags := pflag.NewFlagSet("flags", pflag.ContinueOnError)
	config.AddFlags(flags)
	overlaytest.FlagsAreNamed(t, settings, "### Flags and environment of the mutator", flags)
}

func TestErrorsNameTheField(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"server: {lisen: x}", `unknown field "server.lisen"`},
		{"server: {listen: nowhere}", "server.listen"},
		{"server: {concurrency: 0}", "server.concurrency"},
		{"server: {bodyBytes: -1}", "server.bodyBytes"},
		{"server: {shutdownDelay: -1s}", "server.shutdownDelay"},
		{"wait: {duration: soon}", `wait.duration: "soon" must be a duration such as`},
		{`server: {tls: {minVersion: "1.1"}}`, "server.tls.minVersion"},
		{"provider: {url: 127.0.0.1:8443}", "provider.url"},
		{"provider: {url: http://127.0.0.1:8443}", "provider.url"},
		{"provider: {certFile: a}", "provider: Required value: certFile and keyFile"},
		{"provider: {resolveTimeout: 31s}", "provider.resolveTimeout"},
		{"pin: {workloads: [Deployment, Pod]}", "pin.workloads[1]"},
		{"pin: {exempt: [registry.example.com/agents, nginx]}", "pin.exempt[1]"},
		{"pin: {exempt: ['registry.example.com/agents:1']}", "pin.exempt[0]"},
		{"pin: {exempt: ['']}", "pin.exempt[0]"},
		{"pin: {exempt: ['https://registry.example.com']}", "pin.exempt[0]"},
		{"pin: {onUnresolved: maybe}", "pin.onUnresolved"},
		{"pin: {onUnresolvedByNamespace: {a: maybe}}", "pin.onUnresolvedByNamespace[a]"},
		{"pin: {onUnresolvedByNamespace: {A b: keep}}", "pin.onUnresolvedByNamespace"},
		{"wait: {duration: 31s}", "wait.duration"},
		{"wait: {duration: -1s}", "wait.duration"},
		{"wait: {max: 0}", "wait.max"},
		{"log: {level: loud}", "log.level"},
		{"log: {format: xml}", "log.format"},
	} {
		if _, err := load(t, tc.file, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v does not name %q", tc.file, err, tc.want)
		}
	}
	if _, err := load(t, "", map[string]string{"IMAGEGATE_MUTATOR_WAIT": "soon"}); err == nil || !strings.Contains(err.Error(), "IMAGEGATE_MUTATOR_WAIT") {
		t.Errorf("error %v does not name the variable", err)
	}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs)
	_, err := config.Load(fs, func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), "server.tls.certFile") || !strings.Contains(err.Error(), "server.tls.keyFile") {
		t.Errorf("without a certificate: %v", err)
	}
}
