// Package health asks a process on the same machine how it is, for the exec probes
// of images that have no shell: the subcommands `provider health` and `mutator
// health`.
package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Timeout is how long an answer may take, above that of the checks behind it.
const Timeout = 3 * time.Second

// Server is where a process answers /healthz and /readyz.
type Server struct {
	// Listen is what the process listens on, host:port; without a host, or with an
	// unspecified one, this machine is asked. Setting is what it is configured by.
	Listen, Setting string
	// CertFile is the PEM file of the server's certificate, CertSetting what it is
	// configured by. Empty is plain HTTP.
	CertFile, CertSetting string
}

// Ready asks whether the process should get requests, and returns what it says of
// its parts, beside the error when it should not. The server has to prove that it has the certificate of CertFile: no
// authority is asked for, since the file is this machine's own.
func (s Server) Ready(ctx context.Context) (string, error) {
	var config *tls.Config
	if s.CertFile != "" {
		var err error
		if config, err = s.trust(); err != nil {
			return "", err
		}
	}
	return s.ask(ctx, config, "/readyz")
}

// Live asks whether the process answers at all. Whatever certificate it shows will
// do: nothing is told to it and nothing but life is believed of it, and a restart,
// which follows a no, mends no certificate.
func (s Server) Live(ctx context.Context) (string, error) {
	var config *tls.Config
	if s.CertFile != "" {
		config = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // see above
	}
	return s.ask(ctx, config, "/healthz")
}

// trust is in the certificates of the file and nothing else.
func (s Server) trust() (*tls.Config, error) {
	content, err := os.ReadFile(s.CertFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.CertSetting, err)
	}
	roots := x509.NewCertPool()
	var leaf *x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.CertSetting, s.CertFile, err)
		}
		if leaf == nil {
			leaf = cert
			roots.AddCert(cert)
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	switch {
	case leaf == nil:
		return nil, fmt.Errorf("%s: %s holds no PEM certificate", s.CertSetting, s.CertFile)
	case len(leaf.DNSNames) > 0:
		config.ServerName = strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	case len(leaf.IPAddresses) > 0:
		config.ServerName = leaf.IPAddresses[0].String()
	default:
		return nil, fmt.Errorf("%s: the certificate in %s is for no name", s.CertSetting, s.CertFile)
	}
	return config, nil
}

func (s Server) ask(ctx context.Context, config *tls.Config, path string) (string, error) {
	address, err := s.address()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   config,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	scheme := "http://"
	if config != nil {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"localhost"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", s.explain(err)
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 16 << 10
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return "", s.explain(err)
	}
	said := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return said, errors.New("it is not ready")
	}
	return said, nil
}

func (s Server) explain(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("what answers at %s (%s) has another certificate than %s (%s), or that one does not count now: %w",
			s.Listen, s.Setting, s.CertFile, s.CertSetting, err)
	}
	return fmt.Errorf("nothing answers at %s (%s) as it should: %w", s.Listen, s.Setting, err)
}

// address is Listen as it is dialled: without a host that is this machine.
func (s Server) address() (string, error) {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Setting, err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = ""
	}
	return net.JoinHostPort(host, port), nil
}
