package imagescan

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/scanner/failure"
)

// roundTripper reaches registries over TLS, and without it only those hosts that
// the operator listed or that are on this machine. go-containerregistry tries
// plain HTTP by itself for private addresses; credentials must not go there.
// Bodies that stall end as failures.
func roundTripper(plainHTTP []string, stall time.Duration) http.RoundTripper {
	t := remote.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	t.ResponseHeaderTimeout = 30 * time.Second
	return tlsOnly{base: watched{base: t, stall: stall}, except: plainHTTP}
}

type tlsOnly struct {
	base   http.RoundTripper
	except []string
}

func (t tlsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !PlainHTTPAllowed(r.URL.Host, t.except) {
		return nil, failure.New(failure.Registry, "the registry %s would be reached without TLS, and is not among the scanner worker's insecure registries", short(r.URL.Host))
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
	case errors.As(err, &netErr):
		return failure.Wrap(failure.Registry, err, "the registry could not be reached for %s: %s", image, reason(netErr))
	case isBrokenData(err):
		return failure.Wrap(failure.Invalid, err, "the image %s is broken: a part of it is cut off or is not what its digest says", image)
	default:
		return fmt.Errorf("scan %s: %w", image, err)
	}
}

func reason(err net.Error) string {
	if err.Timeout() {
		return "it did not answer in time"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return "the connection failed"
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
