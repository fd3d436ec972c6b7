package anchore

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

// Client talks to one service. It is safe for concurrent use.
type Client struct {
	o      Options
	remote *remote.Client

	// asking is held while the service is asked which API it speaks.
	asking chan struct{}
	mu     sync.Mutex
	api    API
	about  about
}

// maxSmallBody bounds every answer that is neither a verdict nor a list of
// vulnerabilities.
const maxSmallBody = 4 << 20

// New makes a Client without contacting the service. Its errors name the option
// at fault as the configuration spells it.
func New(o Options) (*Client, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	r, err := remote.New(remote.Options{
		Name:              configured,
		URL:               o.URL,
		Proxy:             o.Proxy,
		Authorities:       o.Authorities,
		RequestTimeout:    o.RequestTimeout,
		RequestsPerSecond: o.RequestsPerSecond,
		Burst:             o.Burst,
		UserAgent:         o.UserAgent,
		Secrets:           o.secrets,
	})
	if err != nil {
		return nil, err
	}
	return &Client{o: o, remote: r, api: o.API, asking: make(chan struct{}, 1)}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.remote.Close() }

// noDigest is the digest of no image: asking for it shows whether the service
// is there and takes our credentials, and costs it next to nothing.
const noDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func (c *Client) nobody(ctx context.Context, a API) (*remote.Reply, error) {
	return c.call(ctx, a, remote.Request{Method: http.MethodGet, Path: "/images/" + noDigest, Unlimited: true, Limit: maxSmallBody})
}

// Ready asks the service for an image that cannot exist. It is ready when it
// says so.
func (c *Client) Ready(ctx context.Context) error {
	d, err := c.dialect(ctx)
	if err != nil {
		return err
	}
	r, err := c.nobody(ctx, d.api)
	if err != nil {
		return err
	}
	switch {
	case r.Status == http.StatusOK, r.Status == http.StatusNotFound && isError(r):
		return nil
	case r.Status == http.StatusNotFound:
		return c.elsewhere(d.api)
	}
	return c.remote.Failed("asking the scanner whether it is ready", r)
}

// call sends a request to a path of the API, once more when what opens the
// service was refused and has changed.
func (c *Client) call(ctx context.Context, a API, r remote.Request) (*remote.Reply, error) {
	secret := c.o.secret().Get()
	reply, err := c.send(ctx, a, r, secret)
	if err == nil && (reply.Status == http.StatusUnauthorized || reply.Status == http.StatusForbidden) && c.o.secret().Renew(secret) {
		return c.send(ctx, a, r, c.o.secret().Get())
	}
	return reply, err
}

func (c *Client) send(ctx context.Context, a API, r remote.Request, secret string) (*remote.Reply, error) {
	r.Path = a.path() + r.Path
	r.Header = http.Header{}
	if s := c.o.authorization(a, secret); s != "" {
		r.Header.Set("Authorization", s)
	}
	if c.o.Account != "" {
		r.Header.Set("X-Anchore-Account", c.o.Account)
	}
	return c.remote.Call(ctx, r)
}

// elsewhere is the failure of a URL where something else answers.
func (c *Client) elsewhere(a API) *report.Failure {
	what := "API v1 or v2"
	if a != Auto {
		what = "API at " + a.path()
	}
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: fmt.Sprintf("what answers at %s has no Anchore %s (%s.url)", c.o.URL, what, configured),
	}
}
