package anchore

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
)

// Probe finds out which API the service at o.URL speaks. Its errors are
// *report.Failure, or name the option at fault.
//
// Both versions answer GET on their root with their name, "v1" or "v2", and
// without asking for credentials. A service that has both is used as V2.
func Probe(ctx context.Context, o Options) (API, error) {
	c, err := New(o)
	if err != nil {
		return Auto, err
	}
	defer c.Close()
	d, err := c.dialect(ctx)
	return d.api, err
}

// dialect returns how to speak with the service, after asking it where that is
// not configured. A service that cannot tell is asked again the next time.
func (c *Client) dialect(ctx context.Context) (dialect, error) {
	if d, ok := c.known(); ok {
		return d, nil
	}
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return dialect{}, remote.Ended(ctx)
	}
	if d, ok := c.known(); ok {
		return d, nil
	}
	for _, d := range []dialect{v2(), v1(V1)} {
		ok, err := c.speaks(ctx, d.api)
		if err != nil {
			return dialect{}, err
		}
		if ok {
			c.mu.Lock()
			c.api = d.api
			c.mu.Unlock()
			return d, nil
		}
	}
	return dialect{}, c.elsewhere(Auto)
}

func (c *Client) known() (dialect, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.api {
	case V2:
		return v2(), true
	case V1, Sysdig:
		return v1(c.api), true
	default:
		return dialect{}, false
	}
}

// speaks reports whether the service has an API. Its root is documented to say
// so; where a gateway serves something else there, an image that cannot exist
// is asked for.
func (c *Client) speaks(ctx context.Context, a API) (bool, error) {
	r, err := c.remote.Call(ctx, remote.Request{Method: http.MethodGet, Path: a.path() + "/", Limit: maxSmallBody, Unlimited: true})
	if err != nil {
		return false, err
	}
	var said string
	if r.Status == http.StatusOK && json.Unmarshal(r.Body, &said) == nil && strings.EqualFold(said, string(a)) {
		return true, nil
	}
	if passes(r.Status) {
		return false, c.remote.Failed("asking the scanner what it is", r)
	}
	if r, err = c.nobody(ctx, a); err != nil {
		return false, err
	}
	switch {
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden, passes(r.Status):
		return false, c.remote.Failed("asking the scanner what it is", r)
	case r.Status == http.StatusNotFound:
		return isError(r), nil
	}
	return false, nil
}

// passes reports whether another answer may come to the same question soon.
func passes(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}
