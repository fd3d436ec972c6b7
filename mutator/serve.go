package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/mutator/config"
	"github.com/imagegate/imagegate/mutator/webhook"
	"github.com/imagegate/imagegate/provider/drain"
	"github.com/imagegate/imagegate/provider/logs"
	"github.com/imagegate/imagegate/provider/tlsfiles"
	"github.com/imagegate/imagegate/provider/version"
	"github.com/imagegate/imagegate/provider/wire"
)

// serve runs the mutator until ctx ends.
func serve(ctx context.Context, c *config.Config, log *slog.Logger) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Server.Listen)
	if err != nil {
		return fmt.Errorf("server.listen: %w", err)
	}
	serverTLS := tlsfiles.NewServer(tlsfiles.ServerFiles{
		CertFile:     c.Server.TLS.CertFile,
		KeyFile:      c.Server.TLS.KeyFile,
		ClientCAFile: c.Server.TLS.ClientCAFile,
		MinVersion:   c.Server.TLS.MinTLS(),
	}, log)
	clientTLS := tlsfiles.NewClient(tlsfiles.ClientFiles{
		CAFile:   c.Provider.CAFile,
		CertFile: c.Provider.CertFile,
		KeyFile:  c.Provider.KeyFile,
	}, log)
	registry := prometheus.NewRegistry()
	registry.MustRegister(version.Of(programName).Metric(), serverTLS, clientTLS,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	readyz, err := url.JoinPath(c.Provider.URL, "readyz")
	if err != nil {
		return fmt.Errorf("provider.url: %w", err)
	}
	client := &wire.Client{BaseURL: c.Provider.URL, HTTPClient: providerClient(c, clientTLS)}
	provider := &providerCheck{ask: client.Ping, once: c.Pin.KeepsSome()}
	admitter := admit.New(client, c.Settings())
	server := webhook.NewServer(admitter, webhook.Options{
		TLS:               serverTLS.Config(),
		RequireClientCert: c.Server.TLS.ClientCAFile != "",
		Ready: func(ctx context.Context) error {
			if err := errors.Join(serverTLS.Ready(), clientTLS.Ready()); err != nil {
				return err
			}
			return provider.ready(ctx)
		},
		Waiting:     admitter.Waiting,
		Concurrency: c.Server.Concurrency,
		BodyBytes:   c.Server.BodyBytes,
		Drain:       c.Server.ShutdownDelay.Duration,
		DrainLimit:  c.Server.ShutdownLimit.Duration,
		Succeeded:   drain.Companion(client.HTTPClient, readyz),
		Registry:    registry,
		Log:         log,
	})
	log.InfoContext(ctx, "mutator starts", "listen", listener.Addr().String(), "provider", c.Provider.URL,
		"wait", c.Wait.Duration.Duration, "onUnresolved", c.Pin.OnUnresolved, "keepTag", c.Pin.KeepTag, "workloads", c.Pin.Workloads)

	warnIfOpen(ctx, c, listener.Addr(), log)

	// Certificates are followed until the last answer.
	group, alive := errgroup.WithContext(context.WithoutCancel(ctx))
	alive, answered := context.WithCancel(alive)
	defer answered()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)()
	group.Go(func() error { return serverTLS.Start(alive) })
	group.Go(func() error { return clientTLS.Start(alive) })
	group.Go(func() error { defer answered(); return server.Serve(ctx, listener) })
	err = group.Wait()
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	return errors.Join(err, admitter.Close(closing))
}

// warnIfOpen tells the operator that more than the API server can ask: an answer
// says what a tag means, found with the pull secrets of whatever Pod is sent.
func warnIfOpen(ctx context.Context, c *config.Config, at net.Addr, log *slog.Logger) {
	if tcp, ok := at.(*net.TCPAddr); c.Server.TLS.ClientCAFile != "" || ok && tcp.IP.IsLoopback() {
		return
	}
	log.WarnContext(ctx, "whoever reaches this address may have images resolved and scanned with any Pod's pull secrets: "+
		"set server.tls.clientCAFile, or let only the API server through", "listen", at.String())
}

// providerClient has no timeout of its own: every question has a deadline.
func providerClient(c *config.Config, tls *tlsfiles.Client) *http.Client {
	return &http.Client{
		Transport: named{&http.Transport{
			DialTLSContext:         tls.DialTLS,
			MaxIdleConnsPerHost:    int(c.Server.Concurrency),
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}},
		// The protocol has no redirects, and one must not carry the question
		// to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newLogger(c *config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	// Validated with the configuration.
	_ = level.UnmarshalText([]byte(c.Level))
	return logs.New(w, level, c.Format)
}
