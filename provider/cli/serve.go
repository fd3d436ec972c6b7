package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/selfsigned"
	"github.com/imagegate/imagegate/provider/server"
	"github.com/imagegate/imagegate/provider/tlsfiles"
	"github.com/imagegate/imagegate/provider/wire"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer Gatekeeper's external data requests",
		Long: `Answer Gatekeeper's external data requests over HTTPS until interrupted.

Every flag is also an environment variable: --tls-cert is IMAGEGATE_TLS_CERT.
Flags win over the environment, the environment over the file of --config.
Without any of them the provider serves on loopback with certificates of its
own making and starts the bundled scan worker.`,
		Args: cobra.NoArgs,
	}
	config.AddFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(cmd.Flags(), os.LookupEnv)
		if err != nil {
			return err
		}
		log, err := logger(c.Log, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := serve(cmd.Context(), &c, log); err != nil {
			return &exit.Error{Code: 1, Err: err}
		}
		return nil
	}
	return cmd
}

// serve runs the provider until ctx ends.
func serve(ctx context.Context, c *config.Config, log *slog.Logger) (err error) {
	if err := completeTLS(c, log); err != nil {
		return err
	}
	files := tlsfiles.NewServer(tlsfiles.ServerFiles{
		CertFile:     c.Server.TLS.CertFile,
		KeyFile:      c.Server.TLS.KeyFile,
		ClientCAFile: c.Server.TLS.ClientCAFile,
	}, log)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Server.Listen)
	if err != nil {
		return fmt.Errorf("server.listen: %w", err)
	}
	defer func() { _ = listener.Close() }() // closed by Serve already unless that was not reached
	p, err := assemble(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
	if err := p.metrics.Register(files); err != nil {
		return fmt.Errorf("registering the certificate metrics: %w", err)
	}
	ready := &readiness{files: files, parts: p}
	h, err := server.NewHandler(serverOptions(c, p, ready.check))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ready.draining.Store(true) })
	defer stop()
	announce(c, p, listener.Addr(), log)
	// Whichever part ends with an error ends the others: a provider that no
	// longer follows its files would serve an expired certificate one day.
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return files.Start(ctx) })
	running.Go(func() error { return p.judge.Start(ctx) })
	running.Go(func() error { return filewatch.FollowAll(ctx, log, p.followed...) })
	if p.attachments != nil {
		running.Go(func() error { return p.attachments.Start(ctx) })
	}
	for _, run := range p.background {
		running.Go(func() error { return run(ctx) })
	}
	running.Go(func() error {
		return server.Serve(ctx, listener, files.Config(), h, server.Times{
			Longest: max(c.Server.Budget.Duration, c.Server.MaxWait.Duration),
			Drain:   c.Server.ShutdownDelay.Duration,
		}, log)
	})
	err = running.Wait()
	log.Info("stopped")
	return err
}

// completeTLS makes certificates where none are configured.
func completeTLS(c *config.Config, log *slog.Logger) error {
	t := &c.Server.TLS
	if t.CertFile != "" {
		return nil
	}
	data, err := dataDir(c)
	if err != nil {
		return err
	}
	dir := filepath.Join(data, "tls")
	if err := selfsigned.Ensure(dir, time.Now()); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	t.CertFile, t.KeyFile = filepath.Join(dir, selfsigned.ServerCertFile), filepath.Join(dir, selfsigned.ServerKeyFile)
	log.Info("no certificate is configured: using a self-signed one", "dir", dir)
	if t.ClientCAFile == "" && t.ClientAuth == config.ClientAuthRequire {
		t.ClientCAFile = filepath.Join(dir, selfsigned.CAFile)
		log.Info("no client CA is configured: clients need the certificate made beside the server's",
			"cert", filepath.Join(dir, selfsigned.ClientCertFile), "key", filepath.Join(dir, selfsigned.ClientKeyFile))
	}
	return nil
}

func serverOptions(c *config.Config, p *parts, ready func(context.Context) error) server.Options {
	return server.Options{
		Service:           p.service,
		Budget:            c.Server.Budget.Duration,
		MaxWait:           c.Server.MaxWait.Duration,
		Concurrency:       c.Server.Concurrency,
		Limits:            wire.Limits{BodyBytes: c.Server.Limits.BodyBytes, Keys: c.Server.Limits.Keys, KeyBytes: c.Server.Limits.KeyBytes},
		InFlightBytes:     c.Server.Limits.InFlightBytes,
		AnswerBytes:       int64(c.Server.Limits.AnswerBytes),
		FindingsBytes:     int64(c.Server.Limits.FullViewBytes),
		RequireClientCert: c.Server.TLS.ClientAuth == config.ClientAuthRequire,
		Ready:             ready,
		Logger:            p.log,
		Verbose:           c.Log.Verbose,
		Metrics:           p.metrics,
	}
}

// readiness is what must be so for requests to make sense here.
type readiness struct {
	files    *tlsfiles.Server
	parts    *parts
	draining atomic.Bool
}

func (r *readiness) check(ctx context.Context) error {
	if r.draining.Load() {
		return errors.New("shutting down")
	}
	if err := r.files.Ready(); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if err := r.parts.scanners.Ready(ctx); err != nil {
		return fmt.Errorf("scanner: %w", err)
	}
	return nil
}

// announce logs what this process is and what it chose by itself.
func announce(c *config.Config, p *parts, addr net.Addr, log *slog.Logger) {
	scanner := cmp.Or(c.Scanner.Harbor.URL, c.Scanner.Anchore.URL)
	if p.worker != nil {
		scanner = "bundled worker at " + p.worker.URL()
		if c.Scanner.Bundled.Database == config.DatabaseSample {
			log.Warn("the bundled worker uses the SAMPLE vulnerability database, which knows a few advisories only: not for real use")
		}
	}
	log.Info("serving",
		"listen", addr.String(),
		"clientAuth", c.Server.TLS.ClientAuth,
		"scanner", scanner,
		"budget", c.Server.Budget.Duration,
		"severityThreshold", c.Verdict.SeverityThreshold,
		"onlyFixed", c.Verdict.OnlyFixed,
		"pullSecrets", c.Registry.PullSecrets.Enabled,
		"nudge", c.Nudge.Enabled,
		"reports", "in memory")
}
