// Package cli is the provider's command line: it turns configuration into the
// running parts and prints for people.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/interrupt"
	"github.com/imagegate/imagegate/provider/strict"
	"github.com/imagegate/imagegate/provider/version"
)

// usageCode is the exit code of mistakes in the command line or configuration
// and of whatever kept a command from its work.
const usageCode = 2

// Main runs the command line and returns the process's exit code. It ends on
// SIGINT and SIGTERM.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Notify(context.Background())
	defer stop()
	root := command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	var err error
	if serves(root, args) {
		err = root.ExecuteContext(ctx)
	} else if err = interrupt.Run(ctx, root.ExecuteContext); ctx.Err() != nil {
		_, _ = fmt.Fprintln(stderr, context.Cause(ctx))
		return interrupt.ExitCode(ctx)
	}
	code, err := exit.Code(err, usageCode)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "error:", err)
	}
	return code
}

// serves reports whether the command is one that lets those go who ask it.
func serves(root *cobra.Command, args []string) bool {
	cmd, _, err := root.Find(args)
	return err == nil && cmd.Name() == serveName
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "provider",
		Short:         "Image scanning at admission for OPA Gatekeeper",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return config.CheckVariables(os.Environ())
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return strict.FlagError(cmd.Flags(), err) })
	root.AddCommand(serveCommand(), scanCommand(), reviewCommand(), templateCommand(), queueCommand(), healthCommand(), doctorCommand())
	version.Of(root.Name()).AddTo(root)
	addCompletions(root, completions())
	return root
}

// one is for a command that takes one argument, what it is being its name.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s takes one %s, and there are %d; --help says more", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}
