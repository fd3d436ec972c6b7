// Command mutator is the mutating webhook of imagegate: it pins the images of
// Pods to digests before Gatekeeper validates them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/mutator/config"
	"github.com/imagegate/imagegate/mutator/pin"
	"github.com/imagegate/imagegate/provider/complete"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/interrupt"
	"github.com/imagegate/imagegate/provider/overlay"
	"github.com/imagegate/imagegate/provider/strict"
	"github.com/imagegate/imagegate/provider/version"
)

// programName is what it calls itself.
const programName = "mutator"

func main() {
	os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// The exit codes: of a wrong command line or configuration, and of a failure
// afterwards.
const (
	usageCode  = 2
	failedCode = 1
)

func run(args []string, env overlay.Env, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Notify(context.Background())
	defer stop()
	root := command(env)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	code, err := exit.Code(root.ExecuteContext(ctx), usageCode)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, programName+":", err)
	}
	return code
}

// command is the program: without a subcommand it serves.
func command(env overlay.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   programName,
		Short: "Pin the images of Pods to digests, as a mutating webhook",
		Long: `Pin the images of Pods to digests, as a mutating webhook that asks the provider.
The mutator serves until it gets the signal to end.

Each flag has an environment variable too: IMAGEGATE_MUTATOR_TLS_CERT for --tls-cert. A
variable that stands for no flag is refused. A flag takes precedence over its
variable, a variable over the file of --config.

Exit codes: 1: it could not serve any more; 2: a mistake in the command line or the
configuration.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return config.CheckVariables(os.Environ())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), env)
			if err != nil {
				return err
			}
			if err := serve(cmd.Context(), &c, newLogger(&c.Log, cmd.ErrOrStderr())); err != nil {
				return &exit.Error{Code: failedCode, Err: err}
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return strict.FlagError(cmd.Flags(), err) })
	config.AddFlags(root.Flags())
	root.AddCommand(healthCommand(env))
	version.Of(programName).AddTo(root)
	for _, cmd := range append(root.Commands(), root) {
		complete.Flags(cmd, completions())
	}
	return root
}

// completions are what the flags take.
func completions() complete.Values {
	actions := []string{string(admit.Reject), string(admit.Keep)}
	pem := []string{"pem", "crt", "cer"}
	return complete.Values{
		Words: map[string][]string{
			"tls-min-version": {"1.2", "1.3"},
			"on-unresolved":   actions,
			"workloads":       pin.Workloads(),
			"log-level":       {"debug", "info", "warn", "error"},
			"log-format":      {"json", "text"},
		},
		Files: map[string][]string{
			"config": {"yaml", "yml", "json"}, "tls-cert": pem, "tls-key": {"pem", "key"}, "client-ca": pem,
			"provider-ca": pem, "provider-client-cert": pem, "provider-client-key": {"pem", "key"},
		},
	}
}
