package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// maxAnswer is far above a queue and a memory of failures that are full.
	maxAnswer   = 256 << 20
	callTimeout = Longest + 10*time.Second
)

// Client asks the process that serves with a data folder.
type Client struct {
	dataDir string
	http    *http.Client
}

// NewClient returns a Client of whatever process serves with the data folder.
func NewClient(dataDir string) *Client {
	path := filepath.Join(dataDir, socketName)
	return &Client{dataDir: dataDir, http: &http.Client{
		Timeout: callTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			},
		},
	}}
}

// NotServing means that no process serves with the data folder.
type NotServing struct {
	DataDir string
	Err     error
}

func (e *NotServing) Error() string {
	return fmt.Sprintf("no provider serves with the data folder %s on this machine (name it with --data-dir or --config); in a cluster ask one of its Pods: "+
		"kubectl exec -n NAMESPACE POD -- provider queue list", e.DataDir)
}

// Unwrap returns why.
func (e *NotServing) Unwrap() error { return e.Err }

// List returns the chosen scans.
func (c *Client) List(ctx context.Context, s Selector) (*Listing, error) {
	q := url.Values{"id": s.IDs}
	for name, v := range map[string]string{"namespace": s.Namespace, "image": s.Image} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if s.Failed {
		q.Set("failed", strconv.FormatBool(true))
	}
	var l Listing
	return &l, c.call(ctx, http.MethodGet, pathScans+"?"+q.Encode(), nil, &l)
}

// Retry has the chosen scans that failed made again.
func (c *Client) Retry(ctx context.Context, s Selector) (*Result, error) {
	return c.change(ctx, pathRetry, s)
}

// Purge takes the chosen scans off the queue, and forgets those that failed.
func (c *Client) Purge(ctx context.Context, s Selector) (*Result, error) {
	return c.change(ctx, pathPurge, s)
}

func (c *Client) change(ctx context.Context, path string, s Selector) (*Result, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	var r Result
	return &r, c.call(ctx, http.MethodPost, path, body, &r)
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://provider"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the provider: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return &NotServing{DataDir: c.dataDir, Err: err}
		}
		return fmt.Errorf("asking the provider that serves with %s: %w", c.dataDir, err)
	}
	defer func() { _ = resp.Body.Close() }()
	decoder := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode == http.StatusOK {
		if err := decoder.Decode(into); err != nil {
			return fmt.Errorf("reading the provider's answer: %w", err)
		}
		return nil
	}
	var r refusal
	if err := decoder.Decode(&r); err != nil || r.Error == "" {
		return fmt.Errorf("the provider answers with status %d; is it of another version?", resp.StatusCode)
	}
	return errors.New(r.Error)
}
