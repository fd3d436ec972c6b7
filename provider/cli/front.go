package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/drain"
	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/server"
	"github.com/imagegate/imagegate/provider/tlsfiles"
	"github.com/imagegate/imagegate/provider/view"
)

// front is where the process is asked, from before it can answer.
type front struct {
	ready      *readiness
	succession *drain.Succession
	log        *slog.Logger
	// installer is nil where nothing is installed.
	installer *install.Installer
	// listener is for the protocol, with files as its certificate; nil for a worker.
	listener net.Listener
	files    *tlsfiles.Server
	// probes is for plain HTTP; nil where it is not configured.
	probes net.Listener
	// pages is for people; nil where there are none.
	pages net.Listener
	// operate answers probes, handler all that comes to listener, shows all that comes
	// to pages.
	operate http.Handler
	handler atomic.Pointer[http.Handler]
	shows   atomic.Pointer[http.Handler]
}

// openFront takes the addresses.
func openFront(ctx context.Context, c *config.Config, p *parts) (_ *front, err error) {
	f := &front{log: p.log, ready: &readiness{role: c.Role, draining: func() bool { return ctx.Err() != nil }}}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.installer, err = installer(c, p, f.ready.checks); err != nil {
		return nil, err
	}
	f.ready.installer = f.installer
	if f.succession, err = succession(c, f.ready.draining); err != nil {
		return nil, err
	}
	f.ready.succession = f.succession
	if c.Role.Answers() {
		if err := completeTLS(c, p.log); err != nil {
			return nil, err
		}
		f.files = tlsfiles.NewServer(tlsfiles.ServerFiles{
			CertFile:     c.Server.TLS.CertFile,
			KeyFile:      c.Server.TLS.KeyFile,
			ClientCAFile: c.Server.TLS.ClientCAFile,
		}, p.log)
		f.ready.files = f.files
		if err := p.metrics.Register(f.files); err != nil {
			return nil, fmt.Errorf("registering the certificate metrics: %w", err)
		}
		if f.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.Server.Listen); err != nil {
			return nil, fmt.Errorf("server.listen: %w", err)
		}
	}
	if c.Server.Probes != "" {
		if f.probes, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.Server.Probes); err != nil {
			return nil, fmt.Errorf("server.probes: %w", err)
		}
	}
	if c.View.Listen != "" {
		if f.pages, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.View.Listen); err != nil {
			return nil, fmt.Errorf("view.listen: %w", err)
		}
		f.showStarting()
	}
	if err := p.metrics.Register(server.NewReadyMetric(f.ready.checks)); err != nil {
		return nil, fmt.Errorf("registering the metric of readiness: %w", err)
	}
	o := server.ProbeOptions{Ready: f.ready.checks, Mark: f.succession.Mark, Logger: p.log, Metrics: p.metrics}
	f.operate = server.NewProbes(o)
	f.set(server.NewStarting(o))
	return f, nil
}

func (f *front) set(h http.Handler) { f.handler.Store(&h) }

// ServeHTTP answers as far as the process has come.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*f.handler.Load()).ServeHTTP(w, r)
}

// run answers until l.ending, and a while longer where answers are asked for. Then the
// rest of the process may end.
func (f *front) run(l life, c *config.Config) {
	if f.installer != nil {
		l.running.Go(func() error { return f.installer.Run(l.ending) })
	}
	l.running.Go(func() error {
		defer l.answered()
		if f.listener == nil {
			<-l.ending.Done()
			return nil
		}
		return server.Serve(l.ending, f.listener, f.files.Config(), f, server.Times{
			Longest:    max(c.Server.Budget.Duration, c.Server.MaxWait.Duration),
			Drain:      c.Server.ShutdownDelay.Duration,
			DrainLimit: c.Server.ShutdownLimit.Duration,
			Succeeded:  f.succession.Succeeded,
		}, f.log)
	})
	if f.files != nil {
		l.running.Go(func() error { return f.files.Start(l.alive) })
	}
	if f.pages != nil {
		l.running.Go(func() error {
			return server.Serve(l.ending, f.pages, nil, http.HandlerFunc(f.show), server.Times{Longest: view.Longest}, f.log)
		})
	}
	if f.probes != nil {
		l.running.Go(func() error { return server.Serve(l.alive, f.probes, nil, f.operate, server.Times{}, f.log) })
	}
}

// open answers with the parts, which are all there.
func (f *front) open(c *config.Config, p *parts) error {
	if c.Role.Answers() {
		h, err := server.NewHandler(serverOptions(c, p, f.operate))
		if err != nil {
			return err
		}
		f.set(h)
	}
	f.ready.parts.Store(p)
	return f.openPages(p)
}

// close gives the addresses back.
func (f *front) close() {
	for _, l := range []net.Listener{f.listener, f.probes, f.pages} {
		_ = closed(l) // what was served there has ended or ends by it
	}
}
