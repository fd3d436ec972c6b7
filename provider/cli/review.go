package cli

import (
	"context"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/review"
	"github.com/imagegate/imagegate/provider/server"
)

// reviewCommand is provider review, whose live scanning is this provider with
// the configuration of --config, the environment and the flags of scan.
func reviewCommand() *cobra.Command {
	var cmd *cobra.Command
	cmd = review.Command(func(ctx context.Context) (http.Handler, func(), error) {
		return live(ctx, cmd)
	})
	config.AddScanFlags(cmd.Flags())
	return cmd
}

// live assembles a provider whose handler is called in process.
func live(ctx context.Context, cmd *cobra.Command) (http.Handler, func(), error) {
	c, err := config.LoadScan(cmd.Flags(), os.LookupEnv)
	if err != nil {
		return nil, nil, err
	}
	log, err := logger(c.Log, cmd.ErrOrStderr())
	if err != nil {
		return nil, nil, err
	}
	show := newProgress(cmd.ErrOrStderr())
	defer show.end()
	show.step("starting the scanner")
	p, err := assemble(ctx, &c, log, nil)
	if err != nil {
		return nil, nil, err
	}
	end := func() {
		if err := p.close(context.WithoutCancel(ctx)); err != nil {
			log.Error("ending the scans", "error", err)
		}
	}
	if err := p.waitReady(ctx, show); err != nil {
		end()
		return nil, nil, err
	}
	// The caller is this process: there is no TLS, and so no client certificate.
	c.Server.TLS.ClientAuth = config.ClientAuthOff
	h, err := server.NewHandler(serverOptions(&c, p, nil))
	if err != nil {
		end()
		return nil, nil, err
	}
	return h, end, nil
}
