// Package cli is the provider's command line: it turns configuration into the
// running parts and prints for people.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// ExitCode is an error that sets the process's exit code. A nil Err means the
// outcome has been printed already.
type ExitCode struct {
	Code int
	Err  error
}

// Error returns the text of Err.
func (e *ExitCode) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitCode) Unwrap() error { return e.Err }

// ExitCode returns Code.
func (e *ExitCode) ExitCode() int { return e.Code }

// usageCode is the exit code of mistakes in the command line or configuration
// and of whatever kept a command from its work.
const usageCode = 2

// Main runs the command line and returns the process's exit code. It ends on
// SIGINT and SIGTERM.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code, cause := usageCode, err
	var coded interface {
		error
		ExitCode() int
	}
	if errors.As(err, &coded) {
		// Without a cause the outcome has been printed already.
		code, cause = coded.ExitCode(), errors.Unwrap(coded)
	}
	if cause != nil {
		_, _ = fmt.Fprintln(stderr, "error:", cause)
	}
	return code
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "provider",
		Short:         "Image scanning at admission for OPA Gatekeeper",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), scanCommand(), reviewCommand(), templateCommand())
	return root
}
