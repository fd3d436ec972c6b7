package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/turns"
)

// plainHTTPError is the refusal to speak plain HTTP to a host.
type plainHTTPError struct{ host string }

func (e *plainHTTPError) Error() string {
	return fmt.Sprintf("plain HTTP to %s is off: it is not listed under registry.insecure", e.host)
}

// throttledError is a registry's request to be left alone for a while.
type throttledError struct {
	status     int
	retryAfter time.Duration
}

func (e *throttledError) Error() string {
	return fmt.Sprintf("status %d, retry after %s", e.status, e.retryAfter)
}

// maxHosts bounds the per-registry state: hosts are named by Pods' authors.
const maxHosts = 1024

// maxHost bounds a host in bytes: a challenge or a redirect may name one as long
// as a header. DNS allows no more, before a port.
const maxHost = 253 + len(":65535")

var errLongHost = errors.New("the name of the host is too long")

// gate sends all requests to registries and their token servers. It
// settles the scheme, bounds concurrency, rate and size for each host, and
// picks the trusted authorities.
type gate struct {
	insecure map[string]bool
	ways     *transport.Set

	concurrency int
	rate        int
	mu          sync.Mutex
	hosts       *lru.Cache[string, *host]
}

type host struct {
	slots   *turns.Turns
	limiter *rate.Limiter
}

func newGate(o Options) (*gate, error) {
	hosts, err := lru.New[string, *host](maxHosts)
	if err != nil {
		return nil, fmt.Errorf("making the table of registries: %w", err)
	}
	g := &gate{
		insecure:    map[string]bool{},
		ways:        transport.NewSet(o.Hosts, o.Timeout, o.Concurrency),
		concurrency: o.Concurrency,
		rate:        o.Rate,
		hosts:       hosts,
	}
	for _, s := range o.Insecure {
		if _, err := reference.ParseHost(s); err != nil {
			return nil, fmt.Errorf("Insecure: %q %w", s, err)
		}
		g.insecure[reference.Address("http", s)] = true
	}
	return g, nil
}

func (g *gate) scheme(host string) string {
	if g.plain(host) {
		return "http"
	}
	return "https"
}

// plain reports whether a host is spoken to in plain HTTP. Its port decides, if
// it has one: what is said of port 80 does not hold for HTTPS's.
func (g *gate) plain(host string) bool { return g.insecure[reference.Address("http", host)] }

func (g *gate) closeIdle() { g.ways.CloseIdle() }

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	req, err := g.settleScheme(req)
	if err != nil {
		return nil, err
	}
	if len(req.URL.Host) > maxHost {
		closeBody(req)
		return nil, errLongHost
	}
	h := g.host(reference.Host(req.URL.Host))
	release, err := h.acquire(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := g.ways.For(req.URL.Host).RoundTrip(req)
	if err != nil {
		release()
		return nil, err
	}
	if err := throttled(resp); err != nil {
		_ = resp.Body.Close()
		release()
		return nil, err
	}
	resp.Body = &slotBody{ReadCloser: transport.Bound(resp.Body, maxManifestBytes), done: sync.OnceFunc(release)}
	return resp, nil
}

// settleScheme makes the scheme follow from the configuration alone:
// go-containerregistry tries HTTP by itself on loopback and private addresses.
func (g *gate) settleScheme(req *http.Request) (*http.Request, error) {
	if g.plain(req.URL.Host) {
		if req.URL.Scheme == "http" {
			return req, nil
		}
		clone := req.Clone(req.Context())
		clone.URL.Scheme = "http"
		return clone, nil
	}
	if req.URL.Scheme != "https" {
		closeBody(req)
		return nil, &plainHTTPError{host: req.URL.Host}
	}
	return req, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// throttled turns an answer that carries Retry-After into an error, because
// go-containerregistry's own errors lose the header.
func throttled(resp *http.Response) error {
	after := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable && after > 0 {
		return &throttledError{status: resp.StatusCode, retryAfter: after}
	}
	return nil
}

// retryAfter reads seconds or an HTTP date; anything else is zero.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		const most = 24 * 60 * 60
		return time.Duration(min(n, most)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil && at.After(now) {
		return min(at.Sub(now), 24*time.Hour)
	}
	return 0
}

func (g *gate) host(name string) *host {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, ok := g.hosts.Get(name); ok {
		return h
	}
	h := &host{
		slots:   turns.New(turns.Limits{Turns: g.concurrency, Waiting: lookupTurns().Turns}),
		limiter: rate.NewLimiter(rate.Limit(g.rate), g.rate),
	}
	g.hosts.Add(name, h)
	return h
}

// acquire waits for the asker's turn with the host and returns what ends it.
func (h *host) acquire(ctx context.Context) (release func(), err error) {
	release, err = h.slots.Take(ctx, turns.Share{Namespace: behalf(ctx)})
	if err != nil {
		return nil, fmt.Errorf("waiting for a turn: %w", err)
	}
	if err := h.limiter.Wait(ctx); err != nil {
		release()
		// The limiter gives up early when the deadline is sure to pass.
		return nil, fmt.Errorf("waiting for a turn: %w", errors.Join(context.DeadlineExceeded, err))
	}
	return release, nil
}

// slotBody gives the host's slot back when the body is closed.
type slotBody struct {
	io.ReadCloser
	done func()
}

func (b *slotBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
