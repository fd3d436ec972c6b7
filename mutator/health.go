package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/mutator/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/health"
	"github.com/imagegate/imagegate/provider/overlay"
)

func healthCommand(env overlay.Env) *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the mutator that serves here whether it is ready",
		Long: `Ask the mutator on this machine whether it is ready. Give the command the same
configuration as that mutator. It is for exec probes, because imagegate's images have
no shell.

Exit codes: 0: it is ready; 1: it is not; 2: a mistake in the command line or the
configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), env)
			if err != nil {
				return err
			}
			s := health.Server{Listen: c.Server.Listen, Setting: "server.listen", CertFile: c.Server.TLS.CertFile, CertSetting: "server.tls.certFile"}
			ask := s.Ready
			if live {
				ask = s.Live
			}
			said, err := ask(cmd.Context())
			if said != "" {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), said)
			}
			if err != nil {
				return &exit.Error{Code: failedCode, Err: err}
			}
			return nil
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether the process answers")
	return cmd
}
