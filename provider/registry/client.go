package registry

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// clientBytes is about what a client takes beside its credential and what it
	// was sent.
	clientBytes = 4 << 10
	// maxClient bounds one client in bytes: it is made anew beyond that.
	maxClient = 512 << 10
)

// client reads one repository with one credential. It holds the token it was
// given, and what each challenge asked for, all of a size that the registry and
// its token server choose.
type client struct {
	*remote.Puller
	credential int
	sent       *meter
}

// bytes is about what the client takes.
func (c *client) bytes() int { return clientBytes + c.credential + int(c.sent.bytes.Load()) }

// meter counts what may be kept of the answers that pass: the challenges, and
// what comes of anything but a manifest.
type meter struct {
	inner http.RoundTripper
	bytes atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (m *meter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := m.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if req.Header.Get("Accept") == "" {
		// Of a token server: whoever reads a manifest says which kinds it takes.
		resp.Body = &metered{ReadCloser: resp.Body, bytes: &m.bytes}
	}
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		// The client keeps the whole text, and the scope that it names again.
		m.bytes.Add(2 * int64(len(challenge)))
	}
	return resp, nil
}

type metered struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.bytes.Add(int64(n))
	return n, err
}

// puller returns the client for one repository and credential. It is kept for
// the token it holds, no longer than a proof of access is.
func (r *Resolver) puller(t target, cred credential) (*client, error) {
	key := pullerKey(t, cred)
	if c, ok := r.pullers.Get(key); ok {
		return c, nil
	}
	sent := &meter{inner: r.way}
	p, err := remote.NewPuller(
		remote.WithAuth(authn.FromConfig(cred.config)),
		remote.WithTransport(sent),
		remote.WithUserAgent(r.options.UserAgent),
		// The scan service decides about repeating a failure; here only a
		// connection that the registry dropped is tried once more.
		remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(isDropped),
		remote.WithRetryBackoff(remote.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Steps: 2}),
	)
	if err != nil {
		return nil, &report.Failure{Reason: report.ReasonInternal, Message: "cannot make a registry client", Err: err}
	}
	c := &client{Puller: p, credential: cred.bytes(), sent: sent}
	r.pullers.Add(key, c)
	return c, nil
}

func pullerKey(t target, cred credential) string { return t.repository() + "\n" + cred.id }

func isDropped(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
