package replicas

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/imagegate/imagegate/e2e/pki"
)

// The statuses of a report, and what a Pod is told where there is none.
const (
	Accepted    = "accepted"
	Rejected    = "rejected"
	Failed      = "scan_failed"
	Pending     = "report_not_available"
	Unreachable = "unreachable"
)

// gatekeeperWaits is the timeout of a Provider object here, as in the templates'
// installation.
const gatekeeperWaits = 2 * time.Second

// Answer is what a provider said of one key.
type Answer struct {
	Status  string
	Message string
}

// Final reports whether Gatekeeper may keep it.
func (a Answer) Final() bool { return a.Status == Accepted || a.Status == Rejected }

// Client asks providers what Gatekeeper and the mutator ask, in the external data
// protocol over mutual TLS.
type Client struct {
	http *http.Client
}

// NewClient returns a Client with a certificate of the authority's.
func NewClient(authority *pki.Authority) (*Client, error) {
	pair, err := authority.Issue("gatekeeper-webhook")
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)
	return &Client{http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{cert}},
		// HTTP/1.1 with kept connections, as Gatekeeper has them.
		MaxIdleConnsPerHost: 64,
		MaxConnsPerHost:     256,
		IdleConnTimeout:     30 * time.Second,
	}}}, nil
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Gatekeeper asks for an image's report in a namespace as the validating webhook
// does: once, for as long as its Provider allows.
func (c *Client) Gatekeeper(ctx context.Context, provider, namespace, image string) Answer {
	ctx, cancel := context.WithTimeout(ctx, gatekeeperWaits)
	defer cancel()
	return c.report(ctx, provider+"/scan-reports", namespace, image)
}

// Mutator asks for an image's report as the mutating webhook does, which lets the
// provider wait for the scan.
func (c *Client) Mutator(ctx context.Context, provider, namespace, image string, wait time.Duration) Answer {
	ctx, cancel := context.WithTimeout(ctx, wait+time.Second)
	defer cancel()
	return c.report(ctx, provider+"/scan-reports?wait="+wait.String(), namespace, image)
}

// Pin asks what an image means now, as the mutating webhook does. The answer is
// the reference with its digest, or why there is none.
func (c *Client) Pin(ctx context.Context, provider, namespace, image string) (string, Answer) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	i, problem := c.ask(ctx, provider+"/digests?wait=4500ms", namespace, image)
	if problem != nil {
		return "", *problem
	}
	var pinned string
	if i.Error != "" || json.Unmarshal(i.Value, &pinned) != nil {
		return "", Answer{Status: Failed, Message: i.Error}
	}
	return pinned, Answer{}
}

func (c *Client) report(ctx context.Context, target, namespace, image string) Answer {
	i, problem := c.ask(ctx, target, namespace, image)
	if problem != nil {
		return *problem
	}
	if i.Error != "" {
		return Answer{Status: Failed, Message: i.Error}
	}
	var r struct{ Status, Message string }
	if err := json.Unmarshal(i.Value, &r); err != nil {
		return Answer{Status: Unreachable, Message: "the answer is no report: " + err.Error()}
	}
	switch a := (Answer{Status: r.Status, Message: r.Message}); {
	case a.Final() == strings.HasSuffix(i.Key, "#"):
		return Answer{Status: Unreachable, Message: fmt.Sprintf("the answer %q came under the key %q", a.Status, i.Key)}
	default:
		return a
	}
}

type item struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

// ask sends one key. Where there is no answer to it the second value says what
// Gatekeeper would make of that.
func (c *Client) ask(ctx context.Context, target, namespace, image string) (item, *Answer) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest",
		"request": map[string]any{"keys": []string{image + "?" + url.Values{"namespace": {namespace}}.Encode()}},
	})
	if err != nil {
		return item{}, unreachable(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return item{}, unreachable(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return item{}, unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return item{}, unreachable(err)
	}
	var r struct {
		Response struct {
			Items       []item
			SystemError string `json:"systemError"`
		}
	}
	if resp.StatusCode != http.StatusOK {
		return item{}, &Answer{Status: Unreachable, Message: "the provider answered HTTP " + resp.Status}
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return item{}, unreachable(err)
	}
	switch {
	case r.Response.SystemError != "":
		return item{}, &Answer{Status: Unreachable, Message: r.Response.SystemError}
	case len(r.Response.Items) != 1:
		return item{}, &Answer{Status: Pending, Message: "the provider gave no answer"}
	}
	return r.Response.Items[0], nil
}

// unreachable words an error without what differs from one to the next.
func unreachable(err error) *Answer {
	why := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		why = "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		why = "the connection was lost"
	}
	return &Answer{Status: Unreachable, Message: why}
}
