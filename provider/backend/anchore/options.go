package anchore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/strict"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// API is which variant of Anchore's API a service speaks.
type API string

// The variants.
const (
	// Auto asks the service at <url>/v2/ and <url>/v1/ which it is.
	Auto API = ""
	// V1 is Anchore Engine at <url>/v1.
	V1 API = "v1"
	// V2 is Anchore Enterprise at <url>/v2.
	V2 API = "v2"
	// Sysdig is Sysdig Secure's legacy scanner, version 1 at
	// <url>/api/scanning/v1/anchore.
	Sysdig API = "sysdig"
)

// Submit says how an image is named to the service.
type Submit string

// The ways to name an image.
const (
	// SubmitDigest pins the digest; the tag only goes with it, for policies
	// that are mapped by tag. An image without a tag gets the made-up tag
	// sha256-<digest>, which never moves.
	SubmitDigest Submit = "digest"
	// SubmitTag lets the service look the tag up, as sysdiglabs/opa-image-scanner did. It is for
	// services that do not take digests. Images without a tag cannot be
	// scanned, and neither can one whose tag has moved meanwhile.
	SubmitTag Submit = "tag"
)

// Findings says how much the list of vulnerabilities matters.
type Findings string

// The settings of Findings.
const (
	// FindingsOptional keeps a verdict whose list cannot be read, without
	// findings, and logs a warning.
	FindingsOptional Findings = "optional"
	// FindingsRequired fails a scan whose list cannot be read.
	FindingsRequired Findings = "required"
	// FindingsOff does not ask for the list.
	FindingsOff Findings = "off"
)

// TokenForm is how a token is sent.
type TokenForm string

// The forms of a token.
const (
	// TokenBasic sends it as the user name with an empty password: Sysdig's way
	// and the default for V1 and Sysdig.
	TokenBasic TokenForm = "basic"
	// TokenBearer sends it as a bearer token: the default for V2. Sysdig takes
	// both.
	TokenBearer TokenForm = "bearer"
)

// Options configures a Client. Only URL is required.
type Options struct {
	// URL is http(s)://host[:port][/path]. A /v1, /v2 or
	// /api/scanning/v1/anchore at its end settles API.
	URL string
	// API is Auto by default.
	API API
	// Token opens the service in the form TokenForm. When the service refuses it
	// and it has changed meanwhile, the new one is tried at once; so with Password.
	Token     *filewatch.Secret
	TokenForm TokenForm
	// User and Password open it otherwise. An API key of Anchore Enterprise has
	// the user _api_key.
	User     string
	Password *filewatch.Secret
	// Account is an Anchore account to act in, for users who may:
	// the header x-anchore-account. Empty is the user's own.
	Account string
	// Submit is SubmitDigest by default.
	Submit Submit
	// Findings is FindingsOptional by default.
	Findings Findings
	// Authorities are trusted beside the system's; nil is none.
	Authorities *tlsfiles.Authorities
	// Proxy is an HTTP proxy's URL. Empty follows the environment, "direct"
	// uses none.
	Proxy string
	// PollInterval is the longest wait between two polls of a young analysis;
	// default 1s. It grows with the analysis' age, up to 10s.
	PollInterval time.Duration
	// RequestTimeout bounds one HTTP request with its answer; default 30s.
	RequestTimeout time.Duration
	// MaxReportBytes bounds a verdict and a list of vulnerabilities, each;
	// default 64 MiB.
	MaxReportBytes int64
	// RequestsPerSecond and Burst limit all requests of the client together;
	// default 10 and 20.
	RequestsPerSecond float64
	Burst             int
	// UserAgent is sent with every request; default "imagegate".
	UserAgent string
	// Now is the clock that times in answers are compared with; default time.Now.
	Now func() time.Time
	// Logger gets the warnings of FindingsOptional; default slog.Default.
	Logger *slog.Logger
}

const (
	defaultPollInterval   = time.Second
	defaultRequestTimeout = 30 * time.Second
	defaultMaxReportBytes = 64 << 20
	defaultRate           = 10
	defaultBurst          = 20

	// configured is where the provider's configuration has these options.
	configured = "scanner.anchore"

	sysdigPath = "/api/scanning/v1/anchore"
)

// complete fills in the defaults and settles URL and API.
func (o *Options) complete() error {
	if err := o.check(); err != nil {
		return err
	}
	if o.Submit == "" {
		o.Submit = SubmitDigest
	}
	if o.Findings == "" {
		o.Findings = FindingsOptional
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
	if o.RequestsPerSecond == 0 {
		o.RequestsPerSecond = defaultRate
	}
	if o.Burst == 0 {
		o.Burst = defaultBurst
	}
	if o.UserAgent == "" {
		o.UserAgent = "imagegate"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o.settle()
}

func (o *Options) check() error {
	switch {
	case o.PollInterval < 0 || o.RequestTimeout < 0 || o.MaxReportBytes < 0 || o.RequestsPerSecond < 0 || o.Burst < 0:
		return errors.New("pollInterval, requestTimeout, maxReportBytes, requestsPerSecond and burst cannot be negative")
	case o.Token != nil && (o.User != "" || o.Password != nil):
		return errors.New("token: it cannot be given together with user and password")
	case o.Password != nil && o.User == "":
		return errors.New("user: it is missing beside a password")
	}
	for _, e := range []struct {
		name, value string
		known       []string
	}{
		{"api", string(o.API), []string{string(Auto), string(V1), string(V2), string(Sysdig)}},
		{"tokenForm", string(o.TokenForm), []string{"", string(TokenBasic), string(TokenBearer)}},
		{"submit", string(o.Submit), []string{"", string(SubmitDigest), string(SubmitTag)}},
		{"findings", string(o.Findings), []string{"", string(FindingsOptional), string(FindingsRequired), string(FindingsOff)}},
	} {
		if err := strict.OneOf(e.value, e.known...); err != nil {
			return fmt.Errorf("%s: %q %w", e.name, e.value, err)
		}
	}
	return nil
}

// settle takes the API's own path off URL, where it settles API.
func (o *Options) settle() error {
	o.URL = strings.TrimRight(o.URL, "/")
	for _, e := range []struct {
		suffix string
		api    API
	}{{sysdigPath, Sysdig}, {"/v1", V1}, {"/v2", V2}} {
		base, ok := strings.CutSuffix(o.URL, e.suffix)
		if !ok {
			continue
		}
		if o.API != Auto && o.API != e.api {
			return fmt.Errorf("api: %q does not fit the url, which ends in %s", o.API, e.suffix)
		}
		o.URL, o.API = base, e.api
		break
	}
	if err := remote.CheckURL(o.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	return nil
}

// path is what an API's paths begin with.
func (a API) path() string {
	if a == Sysdig {
		return sysdigPath
	}
	return "/" + string(a)
}

// secret is what opens the service, beside the user if there is one.
func (o *Options) secret() *filewatch.Secret {
	if o.Token != nil {
		return o.Token
	}
	return o.Password
}

// authorization is the value of the header of that name for one API, with what
// secret held.
func (o *Options) authorization(a API, secret string) string {
	switch {
	case o.Token == nil && o.User == "":
		return ""
	case o.Token == nil:
		return basic(o.User, secret)
	case o.TokenForm == TokenBearer, o.TokenForm == "" && a == V2:
		return "Bearer " + secret
	}
	return basic(secret, "")
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// secrets are what must never be quoted.
func (o *Options) secrets() []string {
	list := o.secret().Held()
	for _, held := range list {
		for _, a := range []API{V1, V2} {
			list = append(list, o.authorization(a, held))
		}
	}
	return list
}
