package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/mutator/config"
	"github.com/imagegate/imagegate/provider/health"
)

// healthName is the one subcommand.
const healthName = "health"

func usage(w io.Writer, flags *pflag.FlagSet) {
	_, _ = fmt.Fprintf(w, `Usage:
  mutator [flags]
  mutator %s [--live] [flags]   ask the mutator that serves here, with the same
                                    configuration, whether it is ready: exit code 0
                                    is yes, 1 no. For exec probes.

Flags:
%s`, healthName, flags.FlagUsages())
}

// askHealth returns the exit status: 0 when the mutator that serves here is well.
func askHealth(ctx context.Context, c *config.Config, live bool, stdout, stderr io.Writer) int {
	s := health.Server{Listen: c.Server.Listen, Setting: "server.listen", CertFile: c.Server.TLS.CertFile, CertSetting: "server.tls.certFile"}
	ask := s.Ready
	if live {
		ask = s.Live
	}
	said, err := ask(ctx)
	if said != "" {
		_, _ = fmt.Fprintln(stdout, said)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "mutator:", err)
		return 1
	}
	return 0
}
