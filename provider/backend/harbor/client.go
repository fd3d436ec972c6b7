package harbor

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// Options configures a Client. Only URL is required.
type Options struct {
	// URL is the adapter's base URL, http or https, without /api/v1.
	URL string
	// Socket is the path of a Unix socket at which the adapter listens; URL is then
	// http:// and a name that nobody looks up.
	Socket string
	// Token opens the adapter: "Basic ..." and "Bearer ..." are sent as they
	// are, anything else as a bearer token. Nil sends nothing. When the adapter
	// refuses it and it has changed meanwhile, the new one is tried at once.
	Token *filewatch.Secret
	// Authorities are trusted for the adapter beside the system's; nil is none.
	Authorities *tlsfiles.Authorities
	// Proxy is an HTTP proxy's URL. Empty follows the environment, "direct"
	// uses none.
	Proxy string
	// PollInterval is the longest wait between two polls of a young scan;
	// default 500ms. The first polls come faster, and after ten times the
	// interval the wait grows with the scan's age, up to 3s.
	PollInterval time.Duration
	// RequestTimeout bounds one HTTP request with its answer; default 30s.
	RequestTimeout time.Duration
	// MaxReportBytes bounds a report, and as much again the list of packages that
	// is asked for where a report lists nothing; default 64 MiB.
	MaxReportBytes int64
	// EmptyReport says what a report counts for that lists nothing, from an
	// adapter that cannot say what it looked at; default Reject.
	EmptyReport EmptyReport
	// Name is what scans call the adapter that count although they list nothing,
	// for EmptyReport may be another when they are judged; default "harbor".
	Name string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// UserAgent is sent with every request; default "imagegate".
	UserAgent string
}

// EmptyReport is what silence counts for.
type EmptyReport string

// The settings of EmptyReport.
const (
	// Reject makes it a failure of the scan.
	Reject EmptyReport = "reject"
	// Accept takes it for an image without findings.
	Accept EmptyReport = "accept"
)

const (
	defaultPollInterval   = 500 * time.Millisecond
	defaultRequestTimeout = 30 * time.Second
	defaultMaxReportBytes = 64 << 20
	apiPath               = "/api/v1"
)

// Client talks to one adapter. It is safe for concurrent use.
type Client struct {
	options Options
	base    string
	http    *http.Client

	// mu guards what the adapter said about itself, and when.
	mu      sync.Mutex
	known   *metadata
	knownAt time.Time
}

// New makes a Client without contacting the adapter. Its errors name the
// option at fault.
func New(o Options) (*Client, error) {
	base, err := baseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.PollInterval < 0 || o.RequestTimeout < 0 || o.MaxReportBytes < 0 {
		return nil, errors.New("PollInterval, RequestTimeout and MaxReportBytes cannot be negative")
	}
	if o.PollInterval > maxRefreshAfter {
		return nil, fmt.Errorf("pollInterval: %s is more than %s, and a scan that nobody asks for may be given up", o.PollInterval, maxRefreshAfter)
	}
	if o.PollInterval == 0 {
		o.PollInterval = defaultPollInterval
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = defaultRequestTimeout
	}
	if o.MaxReportBytes == 0 {
		o.MaxReportBytes = defaultMaxReportBytes
	}
	switch o.EmptyReport {
	case "":
		o.EmptyReport = Reject
	case Accept, Reject:
	default:
		return nil, fmt.Errorf("emptyReport: %q must be one of %s, %s", o.EmptyReport, Accept, Reject)
	}
	if o.Name == "" {
		o.Name = "harbor"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.UserAgent == "" {
		o.UserAgent = "imagegate"
	}
	tr, err := remote.Transport(o.Proxy, o.Authorities)
	if err != nil {
		return nil, err
	}
	client := &Client{
		options: o,
		base:    base,
		http: &http.Client{
			Transport: tr,
			// A redirect is the API's way of saying that there is no report yet.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if o.Socket != "" {
		client.http.Transport = remote.SocketTransport(o.Socket)
	}
	return client, nil
}

// place is where the adapter is and the setting that says so.
func (c *Client) place() (address, setting string) {
	if c.options.Socket != "" {
		return "unix://" + c.options.Socket, "scanner.bundled.url"
	}
	return strings.TrimSuffix(c.base, apiPath), "scanner.harbor.url"
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Sharing is by repository: most adapters take a registry's word for the
// content of layers, and keep what they found in a layer by its diff ID.
func (c *Client) Sharing(backend.Image) backend.Sharing { return backend.ByRepository }

func baseURL(s string) (string, error) {
	base := strings.TrimSuffix(strings.TrimRight(s, "/"), apiPath)
	if err := remote.CheckURL(base); err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	return base + apiPath, nil
}
