package cli

import (
	"maps"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/complete"
	"github.com/imagegate/imagegate/provider/report"
)

// completions are what the flags of all commands take.
func completions() complete.Values {
	verdicts := []string{"reject", "accept"}
	severities := make([]string, 0, len(report.Severities()))
	for _, s := range report.Severities() {
		severities = append(severities, s.String())
	}
	yaml, pem := []string{"yaml", "yml", "json"}, []string{"pem", "crt", "cer"}
	return complete.Values{
		Words: map[string][]string{
			"role":               {"all", "api", "worker"},
			"client-auth":        {"require", "off"},
			"scanner-database":   {"update", "sample"},
			"severity-threshold": severities,
			"unmatched-packages": verdicts,
			"no-packages":        verdicts,
			"end-of-life":        verdicts,
			"log-level":          {"debug", "info", "warn", "error"},
			"log-format":         {"json", "text"},
			"output":             {"table", "json"},
			"platform":           {"linux/amd64", "linux/arm64", "*"},
			"rego-version":       {"auto", "v0", "v1"},
			"need":               {"installation"},
		},
		Files: map[string][]string{
			"config": yaml, "exceptions": yaml, "vex": {"json"}, "docker-config": {"json"}, "rules": {"rego"},
			"tls-cert": pem, "tls-key": {"pem", "key"}, "client-ca": pem, "ca": pem,
			"provider-ca": pem, "provider-client-cert": pem, "provider-client-key": {"pem", "key"},
			"scanner-path": nil, "scanner-database-file": nil, "kubeconfig": nil, "nudge-kubeconfig": nil,
			"templates": nil, "constraints": nil, "inventory": nil, "suite": nil,
			"file": yaml, "namespace-object": yaml, "reports": yaml,
		},
		Dirs: []string{"data-dir"},
	}
}

// addCompletions completes the flags of cmd and what is below it.
func addCompletions(cmd *cobra.Command, v complete.Values) {
	outputs := map[string][]string{"review": {"text", "json"}, "queue": {"table", "json", "yaml"}}
	if words, ok := outputs[cmd.Name()]; ok {
		v.Words = maps.Clone(v.Words)
		v.Words["output"] = words
	}
	complete.Flags(cmd, v)
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, c := range cmd.Commands() {
		addCompletions(c, v)
	}
}
