package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// Transport returns how a scanner is reached: TLS 1.2 or newer, verified
// against the system's authorities and those given, as they are at the time,
// through a proxy as Options.Proxy says. Its errors name the option at fault.
func Transport(proxy string, authorities *tlsfiles.Authorities) (*tlsfiles.Transport, error) {
	through, err := proxyFunc(proxy)
	if err != nil {
		return nil, err
	}
	return tlsfiles.NewTransport(authorities, func(roots *x509.CertPool) *http.Transport {
		return &http.Transport{
			Proxy:                  through,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			MaxConnsPerHost:        32,
			MaxIdleConns:           16,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
		}
	}), nil
}

// SocketTransport sends requests to a Unix socket, whatever host they name.
func SocketTransport(path string) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		MaxResponseHeaderBytes: 64 << 10,
		MaxConnsPerHost:        32,
		MaxIdleConns:           16,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
	}
}

func proxyFunc(proxy string) (func(*http.Request) (*url.URL, error), error) {
	switch proxy {
	case "":
		// net/http's own reader looks at the environment once per process.
		choose := httpproxy.FromEnvironment().ProxyFunc()
		return func(req *http.Request) (*url.URL, error) { return choose(req.URL) }, nil
	case Direct:
		return nil, nil // http.Transport's spelling of "no proxy"
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		// The text may hold a password.
		return nil, errors.New("proxy: it is not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("proxy: %q is not an http(s) URL", u.Redacted())
	}
	return http.ProxyURL(u), nil
}
