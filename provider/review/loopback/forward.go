package loopback

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/imagegate/imagegate/provider/wire"
)

// Remote is a running provider.
type Remote struct {
	// URL is its address without a path: https://provider.example:8443.
	URL string
	// CAFile holds the certificates that may have signed the provider's; the
	// system's are used when it is empty.
	CAFile string
	// CertFile and KeyFile are the client certificate, or both empty.
	CertFile, KeyFile string
}

// Handler forwards requests to the provider over TLS 1.3. A provider that
// cannot be reached answers with a systemError that says why.
func (r Remote) Handler() (http.Handler, error) {
	base, err := url.Parse(r.URL)
	if err != nil {
		return nil, fmt.Errorf("provider URL: %w", err)
	}
	if base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("provider URL %q is not of the form https://host:port", r.URL)
	}
	config, err := r.tlsConfig()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}
	f := &forwarder{base: strings.TrimRight(r.URL, "/"), client: &http.Client{Transport: transport}}
	return f, nil
}

func (r Remote) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if r.CAFile != "" {
		pem, err := os.ReadFile(r.CAFile) // #nosec G304 -- the file that the user named
		if err != nil {
			return nil, fmt.Errorf("reading the provider's CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the provider's CA %s holds no PEM certificate", r.CAFile)
		}
	}
	if (r.CertFile == "") != (r.KeyFile == "") {
		return nil, errors.New("a client certificate needs both its file and its key's")
	}
	if r.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

type forwarder struct {
	base   string
	client *http.Client
}

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body, err := f.send(r.Context(), r)
	if err != nil {
		writeResponse(w, wire.SystemError(err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may be gone: there is nobody left to tell.
	_, _ = w.Write(body)
}

func (f *forwarder) send(ctx context.Context, r *http.Request) (int, []byte, error) {
	target := f.base + r.URL.Path
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, r.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the provider: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the provider: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxExchange))
	if err != nil {
		return 0, nil, fmt.Errorf("reading the provider's answer: %w", err)
	}
	if t := bytes.TrimSpace(body); len(t) == 0 || t[0] != '{' {
		return 0, nil, fmt.Errorf("asking the provider at %s: it answered %s and no ProviderResponse", f.base, resp.Status)
	}
	return resp.StatusCode, body, nil
}
