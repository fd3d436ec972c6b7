package plugin

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

func uiCommand(flags *genericclioptions.ConfigFlags) *cobra.Command {
	from := release{flags: flags}
	var port uint16
	browse := true
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show the report pages in a browser, until Ctrl-C",
		Long: `Forwards a port of this machine's loopback to the report pages of a provider (view.enabled),
prints the address and shows it in a browser. It ends with Ctrl-C, or when the Pod does.

It takes the rights to list Pods and to create pods/portforward where imagegate is
installed. Whoever has them sees all namespaces, and while this runs so does whoever can
open a connection on this machine.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			t, err := from.open(ctx, int(port))
			cancel()
			if err != nil {
				return err
			}
			defer t.close()
			address := "http://localhost:" + strconv.Itoa(t.port)
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), address); err != nil {
				return err
			}
			if browse {
				if err := show(cmd.Context(), address); err != nil {
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: no browser was started: %v\n", err) // the address is printed
				}
			}
			select {
			case err := <-t.ended:
				if err == nil {
					err = errors.New("the Pod has ended the connection; call it again")
				}
				return err
			case <-cmd.Context().Done():
				return nil
			}
		},
	}
	from.addFlags(cmd)
	cmd.Flags().Uint16Var(&port, "port", 0, "the port on this machine (default: any that is free)")
	cmd.Flags().BoolVar(&browse, "browser", browse, "show the pages in a browser")
	return cmd
}

// show has the system's browser show a page.
func show(ctx context.Context, address string) error {
	program := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		program = []string{"open"}
	case "windows":
		program = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	return exec.CommandContext(ctx, program[0], append(program[1:], address)...).Start()
}
