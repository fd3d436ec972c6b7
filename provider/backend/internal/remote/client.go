package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// Options configures a Client.
type Options struct {
	// Name is the configuration's name of the backend, for messages:
	// "scanner.anchore".
	Name string
	// URL is the base of all paths: http(s)://host[:port][/path], without a
	// trailing slash. CheckURL has accepted it.
	URL string
	// Proxy is the URL of an HTTP proxy. Empty follows the environment
	// (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); Direct uses none.
	Proxy string
	// Authorities are trusted beside the system's; nil is none.
	Authorities *tlsfiles.Authorities
	// RequestTimeout bounds one request with its answer.
	RequestTimeout time.Duration
	// RequestsPerSecond and Burst limit how fast the scanner is asked.
	RequestsPerSecond float64
	Burst             int
	UserAgent         string
	// Secrets returns what is taken out of everything the scanner says; nil is
	// nothing.
	Secrets func() []string
}

// Direct as Options.Proxy means that no proxy is used, whatever the
// environment says.
const Direct = "direct"

// Client sends requests to one scanner. It is safe for concurrent use.
type Client struct {
	o       Options
	http    *http.Client
	limiter *rate.Limiter

	mu     sync.Mutex
	paused time.Time // until then the scanner wants to be left alone
}

// New makes a Client without contacting anybody. Its errors name the option at
// fault as the configuration spells it.
func New(o Options) (*Client, error) {
	if err := CheckURL(o.URL); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if o.RequestTimeout <= 0 || o.RequestsPerSecond <= 0 || o.Burst <= 0 {
		return nil, errors.New("requestTimeout, requestsPerSecond and burst must be greater than zero")
	}
	if o.Secrets == nil {
		o.Secrets = func() []string { return nil }
	}
	tr, err := Transport(o.Proxy, o.Authorities)
	if err != nil {
		return nil, err
	}
	return &Client{
		o:       o,
		limiter: rate.NewLimiter(rate.Limit(o.RequestsPerSecond), o.Burst),
		http: &http.Client{
			Transport: tr,
			// The answer would come from another host, to a request that
			// carries credentials for this one.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL returns the base of all paths.
func (c *Client) URL() string { return c.o.URL }

// CheckURL says what is wrong with a base URL, without its credentials.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("it is not a URL")
	}
	if u.Host == "" && strings.Contains(s, "@") {
		// user:password@host, without a scheme, is taken for something else.
		return errors.New("it is not http(s)://host[:port][/path]")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not http(s)://host[:port][/path]", u.Redacted())
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		u.RawQuery, u.Fragment = "", ""
		return fmt.Errorf("%q must not hold credentials, a query or a fragment", u.Redacted())
	}
	if strings.HasSuffix(u.Path, "/") {
		return fmt.Errorf("%q ends in a slash", u.Redacted())
	}
	return nil
}
