package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/imagegate/imagegate/provider/tlsfiles"
)

const (
	connectTimeout = 5 * time.Second
	// pingEvery finds a connection dead after three times as long.
	pingEvery = 5 * time.Second
	// The pauses between attempts to connect.
	firstReconnect, lastReconnect = 100 * time.Millisecond, 10 * time.Second
)

// common are the options of every connection.
func (b *Bus) common() []nats.Option {
	return []nats.Option{
		nats.Name("imagegate provider"),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		// Credentials that are refused may be replaced.
		nats.IgnoreAuthErrorAbort(),
		// Nothing is kept for later: who asked is told at once, and tries again.
		nats.ReconnectBufSize(-1),
		nats.Timeout(connectTimeout),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(c *nats.Conn) { b.connected(c) }),
		nats.ReconnectHandler(func(c *nats.Conn) { b.connected(c) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrConnectionClosed) {
				b.log.Warn("NATS reports an error", "error", err)
			}
		}),
	}
}

func (b *Bus) connected(c *nats.Conn) {
	if since, changed := b.state.set(true, nil); changed {
		b.log.Info("connected to NATS", "place", b.state.place, "server", c.ConnectedServerName(), "after", time.Since(since).Round(time.Millisecond))
	}
}

func (b *Bus) disconnected(err error) {
	if _, changed := b.state.set(false, err); changed {
		b.log.Warn("the connection to NATS is lost; it is made again as soon as it can be", "place", b.state.place, "error", err)
	}
}

func reconnectDelay(attempts int) time.Duration {
	d := firstReconnect << min(attempts, 10)
	d = min(d, lastReconnect)
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreads replicas, guards nothing
}

// connect connects to a NATS elsewhere, now or whenever it comes.
func (b *Bus) connect(e *External) (*nats.Conn, error) {
	options := b.common()
	switch {
	case e.CredsFile != "":
		options = append(options, nats.UserCredentials(e.CredsFile))
	case e.UserFile != "":
		options = append(options, nats.UserInfoHandler(func() (string, string) {
			return b.secret("userFile", e.UserFile), b.secret("passwordFile", e.PasswordFile)
		}))
	case e.TokenFile != "":
		options = append(options, nats.TokenHandler(func() string { return b.secret("tokenFile", e.TokenFile) }))
	}
	options = append(options, b.clientTLS(e.TLS)...)
	c, err := nats.Connect(strings.Join(e.URLs, ","), options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", b.state.place, err)
	}
	if c.IsConnected() {
		b.connected(c)
	} else {
		b.disconnected(c.LastError())
		b.log.Warn("NATS does not answer yet; it is tried for as long as it takes", "place", b.state.place, "error", c.LastError())
	}
	return c, nil
}

// secret reads what a connection is made with, each time one is.
func (b *Bus) secret(setting, file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		b.log.Error("a file for the connection to NATS cannot be read", "setting", setting, "error", err)
		return ""
	}
	return strings.TrimSpace(string(content))
}

// clientTLS has each connection made with the files as they are then.
func (b *Bus) clientTLS(files ClientTLS) []nats.Option {
	if files == (ClientTLS{}) {
		return nil
	}
	client := b.follow(tlsfiles.ClientFiles{CAFile: files.CAFile, CertFile: files.CertFile, KeyFile: files.KeyFile, Side: "nats"})
	var certificate nats.TLSCertHandler
	var authorities nats.RootCAsHandler
	if files.CertFile != "" {
		certificate = func() (tls.Certificate, error) {
			c, err := client.Config("")
			if err != nil {
				return tls.Certificate{}, err
			}
			return c.Certificates[0], nil
		}
	}
	if files.CAFile != "" {
		authorities = func() (*x509.CertPool, error) {
			c, err := client.Config("")
			if err != nil {
				return nil, err
			}
			return c.RootCAs, nil
		}
	}
	return []nats.Option{nats.ClientTLSConfig(certificate, authorities)}
}

// follow keeps TLS files loaded until the bus is closed.
func (b *Bus) follow(files tlsfiles.ClientFiles) *tlsfiles.Client {
	client := tlsfiles.NewClient(files, b.log)
	b.state.own = append(b.state.own, client)
	b.background.Go(func() {
		if err := client.Start(b.ended); err != nil {
			b.log.Error("the TLS files for NATS are not followed", "error", err)
		}
	})
	return client
}
