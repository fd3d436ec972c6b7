package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"

	"github.com/imagegate/imagegate/provider/report"
)

// The paths of the provider.
const (
	PathDigests     = "/digests"
	PathScanReports = "/scan-reports"
	// ParamWait on the URL is how long an answer may wait for final reports, as
	// Go writes durations. The provider caps it.
	ParamWait = "wait"
)

// maxResponseBytes bounds an answer: 256 keys with a summary of 4 KiB each fit
// several times.
const maxResponseBytes = 8 << 20

// ErrUnreachable marks errors that are the connection's or the time limit's,
// as opposed to what the provider answered.
var ErrUnreachable = errors.New("the provider cannot be reached")

// Client asks a provider. It never retries: its callers have deadlines of
// their own, and the API server asks again.
type Client struct {
	// BaseURL is the provider's https://host:port, with or without a path.
	BaseURL string
	// HTTPClient carries the TLS configuration; nil is http.DefaultClient.
	HTTPClient *http.Client
}

// Resolved answers one key of Digests: the reference with its tag replaced by
// the digest, the repository spelled as in the key, or an error that is a
// sentence for the Pod's author.
type Resolved struct {
	Pinned string
	Err    error
}

// Digests resolves keys and returns one answer for each, in order. The provider
// may take nine tenths of the time that ctx leaves, so that its own reason for
// a failure arrives before ctx ends. The error is for the request as a whole:
// ErrUnreachable, an HTTP error, a systemError.
func (c *Client) Digests(ctx context.Context, keys []Key) ([]Resolved, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var wait time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		wait = (time.Until(deadline) * 9 / 10).Truncate(time.Millisecond)
	}
	resp, err := c.ask(ctx, PathDigests, wait, keys)
	if err != nil {
		return nil, fmt.Errorf("resolving digests: %w", err)
	}
	if resp.Response.SystemError != "" {
		return nil, fmt.Errorf("resolving digests: the provider answered: %s", resp.Response.SystemError)
	}
	answers := make(map[string]Resolved, len(resp.Response.Items))
	for _, item := range resp.Response.Items {
		answers[strings.TrimSuffix(item.Key, transientSuffix)] = resolved(item)
	}
	out := make([]Resolved, len(keys))
	for i, k := range keys {
		r, ok := answers[k.String()]
		if !ok {
			r.Err = errors.New("the provider gave no answer")
		}
		out[i] = r
	}
	return out, nil
}

// Ping asks for nothing, and returns why the provider could not be asked for more.
func (c *Client) Ping(ctx context.Context) error {
	resp, err := c.ask(ctx, PathDigests, 0, nil)
	if err != nil {
		return err
	}
	if resp.Response.SystemError != "" {
		return fmt.Errorf("the provider answered: %s", resp.Response.SystemError)
	}
	return nil
}

func resolved(item externaldata.Item) Resolved {
	if item.Error != "" {
		return Resolved{Err: errors.New(item.Error)}
	}
	s, ok := item.Value.(string)
	if !ok || s == "" {
		return Resolved{Err: fmt.Errorf("the provider answered a %T where a reference was expected", item.Value)}
	}
	return Resolved{Pinned: s}
}

// Reports asks for reports, which starts the scans that are missing, and
// returns one for each key in order, as Reports the function does. The
// provider may take up to wait to answer with final reports; with zero it
// answers within its budget.
func (c *Client) Reports(ctx context.Context, keys []Key, wait time.Duration) ([]report.ScanReport, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	resp, err := c.ask(ctx, PathScanReports, wait, keys)
	if err != nil {
		return nil, fmt.Errorf("asking for scan reports: %w", err)
	}
	reports, err := Reports(keys, resp)
	if err != nil {
		return nil, fmt.Errorf("asking for scan reports: %w", err)
	}
	return reports, nil
}

func (c *Client) ask(ctx context.Context, path string, wait time.Duration, keys []Key) (*externaldata.ProviderResponse, error) {
	req, err := c.request(ctx, path, wait, keys)
	if err != nil {
		return nil, err
	}
	client := c.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the provider answered HTTP status %s", resp.Status)
	}
	return readResponse(resp.Body)
}

func (c *Client) request(ctx context.Context, path string, wait time.Duration, keys []Key) (*http.Request, error) {
	u, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("the provider's URL: %w", err)
	}
	u = u.JoinPath(path)
	if wait > 0 {
		u.RawQuery = url.Values{ParamWait: {wait.String()}}.Encode()
	}
	encoded := make([]string, len(keys))
	for i, k := range keys {
		encoded[i] = k.String()
	}
	body, err := json.Marshal(externaldata.NewProviderRequest(encoded))
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	// Not sent. It tells net/http that a question lost with a kept-alive
	// connection, as when the provider restarted, may go out on a new one.
	req.Header["Idempotency-Key"] = nil
	return req, nil
}

func readResponse(body io.Reader) (*externaldata.ProviderResponse, error) {
	b, err := io.ReadAll(io.LimitReader(body, maxResponseBytes+1))
	if err != nil {
		return nil, unreachable(err)
	}
	if len(b) > maxResponseBytes {
		return nil, fmt.Errorf("the provider's answer is over the limit of %d bytes", maxResponseBytes)
	}
	var resp externaldata.ProviderResponse
	if err := json.Unmarshal(b, &resp); err != nil {
		return nil, fmt.Errorf("the provider's answer is not a ProviderResponse: %w", err)
	}
	if resp.APIVersion != apiVersion || resp.Kind != kindResponse {
		return nil, fmt.Errorf("the provider answered %q %q, want %q %q", resp.APIVersion, resp.Kind, apiVersion, kindResponse)
	}
	return &resp, nil
}

// unreachable drops the method and URL that net/http puts before the cause:
// the sentence ends up in front of a Pod's author.
func unreachable(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: no answer in time: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
