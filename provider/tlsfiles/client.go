package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ClientFiles says which files make a TLS client.
type ClientFiles struct {
	// CAFile is the PEM bundle that signs the server; empty is the system's CAs.
	CAFile string
	// CertFile and KeyFile are the client's certificate; both empty is none.
	CertFile, KeyFile string
	// MinVersion is a tls.VersionTLS constant; zero is TLS 1.3.
	MinVersion uint16
	// Side is the label of the metrics, for a second client in one process; empty
	// is client.
	Side string
}

// Client is the TLS side of a client whose files may change. It is a
// prometheus.Collector of the certificates' expiry.
type Client struct {
	watcher
	files ClientFiles
	pair  *part[*tls.Certificate]
	ca    *part[*x509.CertPool]
}

// NewClient reads the files once. As with NewServer, missing or broken files
// are logged, and Ready and every dial say why until they come.
func NewClient(files ClientFiles, log *slog.Logger) *Client {
	if files.MinVersion == 0 {
		files.MinVersion = tls.VersionTLS13
	}
	if files.Side == "" {
		files.Side = "client"
	}
	c := &Client{files: files}
	var parts []follower
	if files.CertFile != "" || files.KeyFile != "" {
		c.pair = keyPair(files.CertFile, files.KeyFile)
		parts = append(parts, c.pair)
	}
	if files.CAFile != "" {
		c.ca = authority(files.CAFile)
		parts = append(parts, c.ca)
	}
	c.watcher = newWatcher(log, parts...)
	return c
}

// Config returns the configuration for one connection to serverName, from the
// files as they are now. It does not change afterwards: a long-lived client
// sets http.Transport.DialTLSContext to DialTLS instead.
func (c *Client) Config(serverName string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: c.files.MinVersion, ServerName: serverName}
	if c.pair != nil {
		cert, err := c.pair.get()
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{*cert.value}
	}
	if c.ca != nil {
		ca, err := c.ca.get()
		if err != nil {
			return nil, err
		}
		config.RootCAs = ca.value
	}
	return config, nil
}

// DialTLS is for http.Transport.DialTLSContext: it connects to addr
// (host:port) with the newest files. The host name is verified by crypto/tls
// as usual. (The other way to follow a CA bundle, InsecureSkipVerify with
// VerifyConnection, loses the name of a server addressed by IP.)
func (c *Client) DialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	config, err := c.Config(host)
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}, Config: config}
	return d.DialContext(ctx, network, addr)
}

// Describe implements prometheus.Collector.
func (c *Client) Describe(ch chan<- *prometheus.Desc) { c.describe(c.files.Side, ch) }

// Collect implements prometheus.Collector.
func (c *Client) Collect(ch chan<- prometheus.Metric) { c.collect(c.files.Side, ch) }
