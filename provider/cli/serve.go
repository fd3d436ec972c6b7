package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/admin"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/selfsigned"
	"github.com/imagegate/imagegate/provider/server"
	"github.com/imagegate/imagegate/provider/wire"
)

// serveName is the command that goes on answering for a while when it is told to end.
const serveName = "serve"

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   serveName,
		Short: "Answer Gatekeeper's external data requests, and scan",
		Long: `Answer Gatekeeper's external data requests over HTTPS until interrupted, and
scan the images that they name. With --role api the process leaves scans to workers;
with --role worker it makes the scans that others queue. Both need a NATS that they
share.

Each flag has an environment variable too: IMAGEGATE_TLS_CERT for --tls-cert. A
variable that stands for no flag is refused. A flag takes precedence over its
variable, a variable over the file of --config. Without any of these the provider
serves on loopback with certificates that it makes itself, starts the bundled scan
worker, and keeps reports and queued scans in its data folder. Each process needs a
data folder of its own.`,
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
	dir, err := dataDir(c)
	if err != nil {
		return err
	}
	boundMemory(c, log)
	p := newParts(log)
	f, err := openFront(ctx, c, p)
	if err != nil {
		return err
	}
	l, end := newLife(ctx)
	defer end()
	// Probes are answered, and questions refused with a reason, while the store is
	// waited for, which may be other replicas' to bring.
	f.run(l, c)
	if err := p.serve(l, c, dir, f); err != nil {
		f.close()
		end()
		_ = l.running.Wait() // the listeners were closed; what ended before is the cause of err
		if ctx.Err() != nil {
			log.Info("stopped before it had started", "error", err)
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
	err = l.running.Wait()
	log.Info("stopped")
	return err
}

// serve starts the parts and has them run. After an error none of them does.
func (p *parts) serve(l life, c *config.Config, dir string, f *front) (err error) {
	ctx := l.ending
	if err := f.waitCertificate(ctx, c); err != nil {
		return err
	}
	if p.shared, err = openShared(ctx, c, dir, p); err != nil {
		return err
	}
	f.ready.shared.Store(p.shared)
	p.asPages(c)
	if err := p.start(ctx, c, p.shared.reports, p.shared.tags); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(context.WithoutCancel(ctx)))
		}
	}()
	var socket net.Listener
	if p.shared.identity.Own {
		if socket, err = admin.Listen(ctx, dir); err != nil {
			return err
		}
	}
	if err := f.open(c, p); err != nil {
		return errors.Join(err, closed(socket))
	}
	if socket != nil {
		l.running.Go(func() error {
			return server.Serve(ctx, socket, nil, admin.NewHandler(p.service, p.log), server.Times{Longest: admin.Longest}, p.log)
		})
	}
	announce(c, p, f)
	l.running.Go(func() error { return p.judge.Start(l.alive) })
	l.running.Go(func() error { return filewatch.FollowAll(l.alive, p.log, p.followed...) })
	if p.attachments != nil {
		l.running.Go(func() error { return p.attachments.Start(l.alive) })
	}
	for _, run := range p.background {
		l.running.Go(func() error { return run(l.alive) })
	}
	return nil
}

func closed(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
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
		return fmt.Errorf("making certificates, since there is no server.tls.certFile (dataDir is where they go): %w", err)
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

func serverOptions(c *config.Config, p *parts, probes http.Handler) server.Options {
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
		Probes:            probes,
		Logger:            p.log,
		Verbose:           c.Log.Verbose,
		Metrics:           p.metrics,
	}
}

// announce logs what this process is and what it chose by itself.
func announce(c *config.Config, p *parts, f *front) {
	scanner := cmp.Or(c.Scanner.Address(), c.Scanner.Bundled.URL)
	if p.worker != nil {
		scanner = "bundled worker at " + p.worker.URL()
		if c.Scanner.Bundled.Database == config.DatabaseSample {
			p.log.Warn("the bundled worker uses the SAMPLE vulnerability database, which knows a few advisories only: not for real use")
		}
	}
	if !c.Role.Scans() {
		scanner = "workers elsewhere"
	}
	p.log.Info("serving",
		"role", c.Role,
		"listen", address(f.listener),
		"probes", address(f.probes),
		"view", address(f.pages),
		"clientAuth", c.Server.TLS.ClientAuth,
		"scanner", scanner,
		"budget", c.Server.Budget.Duration,
		"severityThreshold", c.Verdict.SeverityThreshold,
		"onlyFixed", c.Verdict.OnlyFixed,
		"pullSecrets", c.Registry.PullSecrets.Enabled,
		"nudge", c.Nudge.Enabled,
		"inventory", p.inventory != nil,
		"reports", "NATS: "+p.shared.bus.State().Place,
		"replica", p.shared.identity.Name)
}

func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}
