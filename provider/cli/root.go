// Package cli is the provider's command line: it turns configuration into the
// running parts and prints for people.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/strict"
)

// usageCode is the exit code of mistakes in the command line or configuration
// and of whatever kept a command from its work.
const usageCode = 2

// Main runs the command line and returns the process's exit code. It ends on
// SIGINT and SIGTERM.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	root := command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	code, err := exit.Code(root.ExecuteContext(ctx), usageCode)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "error:", err)
	}
	return code
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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return strict.FlagError(err) })
	root.AddCommand(serveCommand(), scanCommand(), reviewCommand(), templateCommand(), queueCommand(), healthCommand())
	return root
}
