package imagescan

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/internal/hosts"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// roundTripper reaches registries over TLS, and without it only those hosts that
// the operator listed or that are on this machine. go-containerregistry tries
// plain HTTP by itself for private addresses; credentials must not go there.
// Bodies that stall or drip end as failures.
func roundTripper(req sandbox.Request) (http.RoundTripper, error) {
	byHost := authorities{shared: ordinaryTransport(nil), own: map[string]http.RoundTripper{}}
	for host, pem := range req.Authorities {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM([]byte(pem)) {
			return nil, failure.New(failure.Internal, "the scanner worker has no certificate in the file for the registry %s (registry.caFiles)", short(host))
		}
		byHost.own[host] = ordinaryTransport(roots)
	}
	var listed []string
	for _, s := range req.TokenHosts {
		host, err := ParseTokenHost(s)
		if err != nil {
			return nil, failure.Wrap(failure.Internal, err, "the scanner worker's list of token servers cannot be used")
		}
		listed = append(listed, host)
	}
	l := req.Limits
	return tokenHosts{listed: listed, base: tlsOnly{base: watched{base: byHost, pace: pace{stall: l.Stall, least: l.LeastTransfer, window: l.TransferWindow}}, except: req.PlainHTTP, secure: secureHost(req.Registry)}}, nil
}

// secureHost is the host of a URL that says https, or nothing.
func secureHost(registry string) string {
	if u, err := url.Parse(registry); err == nil && u.Scheme == "https" {
		return u.Host
	}
	return ""
}

func ordinaryTransport(roots *x509.CertPool) *http.Transport {
	t := remote.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	t.ResponseHeaderTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 64 << 10
	if roots != nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	return t
}

// authorities trusts, for the hosts that have some, certificate authorities of
// their own beside the system's.
type authorities struct {
	shared http.RoundTripper
	own    map[string]http.RoundTripper // by canonical host
}

func (a authorities) RoundTrip(r *http.Request) (*http.Response, error) {
	if own, ok := a.own[hosts.Canonical(r.URL.Scheme, r.URL.Host)]; ok {
		return own.RoundTrip(r)
	}
	return a.shared.RoundTrip(r)
}

type tlsOnly struct {
	base   http.RoundTripper
	except []string
	// secure is the host that was asked for over TLS. go-containerregistry would
	// try it without when that fails and the host is of this machine.
	secure string
}

var errDowngrade = errors.New("the registry was asked for over TLS and is not asked without")

func (t tlsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !PlainHTTPAllowed(r.URL.Host, t.except) {
		return nil, failure.New(failure.Registry, "the registry %s would be reached without TLS, and is not among the scanner worker's insecure registries", short(r.URL.Host))
	}
	if r.URL.Scheme != "https" && r.URL.Host == t.secure {
		return nil, errDowngrade
	}
	return t.base.RoundTrip(r)
}

// PlainHTTPAllowed says whether host may be talked to without TLS.
func PlainHTTPAllowed(host string, listed []string) bool {
	if slices.Contains(listed, host) {
		return true
	}
	bare := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		bare = h
	}
	if strings.EqualFold(bare, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(bare, "[]"))
	return ip != nil && ip.IsLoopback()
}

// registryFailure sorts the errors of a pull. The library's texts name hosts
// and paths but no credentials.
func registryFailure(err error, image string) error {
	var te *transport.Error
	if errors.As(err, &te) {
		switch te.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return failure.Wrap(failure.Unauthorized, err, "the registry does not let these credentials pull %s", image)
		case http.StatusNotFound:
			if te.Request != nil && strings.Contains(te.Request.URL.Path, "/blobs/") {
				return failure.Wrap(failure.NotFound, err, "the registry has the manifest of %s but not all of its parts", image)
			}
			return failure.Wrap(failure.NotFound, err, "the registry has no %s", image)
		case http.StatusTooManyRequests:
			return failure.Wrap(failure.Registry, err, "the registry limits the rate of pulls; it refused %s for now", image)
		default:
			return failure.Wrap(failure.Registry, err, "the registry answered %d for %s", te.StatusCode, image)
		}
	}
	var netErr net.Error
	switch {
	case isPrivateTokenHost(err):
		return failure.Wrap(failure.Registry, err, "the registry of %s names a token server with a private address, which is asked only when it is listed under registry.tokenHosts in the provider's configuration (--token-hosts of the scanner worker)", image)
	case errors.As(err, &netErr):
		// One sentence for all of them: what is behind an address that a Pod names
		// is not for its author to find out. The cause is in the log.
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			err = fmt.Errorf("its certificate is not trusted (registry.caFiles of the provider, --registry-ca of the scanner worker): %w", err)
		}
		return failure.Wrap(failure.Registry, err, "the registry could not be reached for %s", image)
	case isBrokenData(err):
		return failure.Wrap(failure.Invalid, err, "the image %s is broken: a part of it is cut off or is not what its digest says", image)
	default:
		return fmt.Errorf("scan %s: %w", image, err)
	}
}

// isBrokenData recognises the errors of verification and of unpacking, several
// of which are plain texts.
func isBrokenData(err error) bool {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	text := err.Error()
	for _, sign := range []string{
		"error verifying", "manifest digest", "does not match", "gzip: ", "flate: ", "archive/tar: ", "unexpected EOF", "zstd", "magic number mismatch", "invalid input",
	} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
