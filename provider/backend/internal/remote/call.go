package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Request is one request.
type Request struct {
	Method string
	// Path is appended to the client's URL; its parts are escaped already.
	Path  string
	Query url.Values
	// Header is sent beside the client's own.
	Header http.Header
	// Body, when not nil, is sent as JSON.
	Body any
	// Limit bounds the answer's body in bytes.
	Limit int64
	// Unlimited skips the rate limit and the pauses. It is for readiness,
	// which is asked seldom and must not wait.
	Unlimited bool
}

// Reply is an answer read to its end.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Call sends one request and reads the whole answer, whatever its status. Its
// errors are *report.Failure.
func (c *Client) Call(ctx context.Context, r Request) (*Reply, error) {
	if !r.Unlimited {
		if err := c.turn(ctx); err != nil {
			return nil, err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, c.o.RequestTimeout)
	defer cancel()
	req, err := c.request(bounded, r)
	if err != nil {
		return nil, &report.Failure{Reason: report.ReasonInternal, Message: "cannot make a request to the scanner", Err: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, r.Limit+1))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if int64(len(b)) > r.Limit {
		return nil, &report.Failure{
			Reason:  report.ReasonTooLarge,
			Message: fmt.Sprintf("the scanner's answer is larger than %d bytes", r.Limit),
		}
	}
	reply := &Reply{Status: resp.StatusCode, Header: resp.Header, Body: b}
	c.notice(reply)
	return reply, nil
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		b, err := json.Marshal(r.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	target := c.o.URL + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.o.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// broken is a request that had no whole answer.
func (c *Client) broken(ctx context.Context, err error) *report.Failure {
	if ctx.Err() != nil {
		return Ended(ctx)
	}
	return Broken(c.o.Name, c.o.URL, c.o.RequestTimeout, err)
}

// Broken is the failure of a request to the scanner at base that had no whole
// answer within patience. name is the configuration's of the backend. There is
// one sentence for a scanner that cannot be reached, whatever is in the way: a
// Pod's author can mend none of it, and the network within is not for them to
// read. The cause is for the log.
func Broken(name, base string, patience time.Duration, err error) *report.Failure {
	what := "cannot be reached; the provider's log says why"
	switch {
	case Unconnected(err):
	case errors.Is(err, context.DeadlineExceeded):
		what = fmt.Sprintf("did not answer within %s", patience)
	case errors.Is(err, io.ErrUnexpectedEOF):
		what = "broke off its answer"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = fmt.Errorf("its certificate is not trusted (%s.caFile): %w", name, err)
	}
	return &report.Failure{
		Reason:  report.ReasonUnavailable,
		Message: fmt.Sprintf("the scanner at %s %s", base, what),
		Err:     err,
	}
}

// Unconnected reports whether there was no connection to begin with, be it that
// nobody knows the name, or that nothing answers at the address, or not in time.
func Unconnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// Ended is the failure of a scan whose context is over.
func Ended(ctx context.Context) *report.Failure {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return &report.Failure{Reason: report.ReasonTimeout, Message: "the scan did not end within its deadline", Err: err}
	}
	return &report.Failure{Reason: report.ReasonUnavailable, Message: "the scan was called off", Err: err}
}

// Sleep waits for d. Its error is a *report.Failure.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return Ended(ctx)
	}
}
