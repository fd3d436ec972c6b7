package harbor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// maxSmallBody bounds every answer that is not a report.
const maxSmallBody = 1 << 20

// call sends one request and reads the whole answer, at most limit bytes of
// it. header are names of further headers, each before its value; empty values
// are not sent. Its errors are Failures.
func (c *Client) call(ctx context.Context, method, path, accept, contentType string, body []byte, limit int64, header ...string) (*reply, error) {
	token := c.options.Token.Get()
	r, err := c.send(ctx, token, method, path, accept, contentType, body, limit, header...)
	if err == nil && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden) && c.options.Token.Renew(token) {
		return c.send(ctx, c.options.Token.Get(), method, path, accept, contentType, body, limit, header...)
	}
	return r, err
}

// send sends one request of the API with a token.
func (c *Client) send(ctx context.Context, token, method, path, accept, contentType string, body []byte, limit int64, header ...string) (*reply, error) {
	return c.request(ctx, token, method, c.base+path, accept, contentType, body, limit, header...)
}

func (c *Client) request(ctx context.Context, token, method, url, accept, contentType string, body []byte, limit int64, header ...string) (*reply, error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.options.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, &report.Failure{Reason: report.ReasonInternal, Message: "cannot make a request to the scanner", Err: err}
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", c.options.UserAgent)
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", authorization(token))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(parent, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, c.broken(parent, err)
	}
	if int64(len(b)) > limit {
		return nil, &report.Failure{
			Reason:  report.ReasonTooLarge,
			Message: fmt.Sprintf("the scanner's answer is larger than %d bytes", limit),
		}
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: b}, nil
}

func authorization(token string) string {
	if scheme, _, ok := strings.Cut(token, " "); ok && (strings.EqualFold(scheme, "Basic") || strings.EqualFold(scheme, "Bearer")) {
		return token
	}
	return "Bearer " + token
}

// broken is a request that had no whole answer.
func (c *Client) broken(ctx context.Context, err error) *report.Failure {
	if ctx.Err() != nil {
		return remote.Ended(ctx)
	}
	address, setting := c.place()
	return remote.Broken(strings.TrimSuffix(setting, ".url"), address, c.options.RequestTimeout, err)
}
