package review

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/imagegate/imagegate/provider/review/fixture"
	"github.com/imagegate/imagegate/provider/review/loopback"
)

// Live makes the handler of a provider that scans on the spot, and the
// function that ends it.
type Live func(context.Context) (http.Handler, func(), error)

// Options is one run of the command, see Command for their meaning.
type Options struct {
	Templates, Constraints []string
	Files                  []string
	NamespaceObjects       []string
	Inventory              []string
	Namespace              string
	User                   string
	Groups                 []string
	EnforcementPoint       string

	// Reports is a reports file; Remote a running provider; Live is used when
	// neither is given. Wait is for how long pending scans are waited for.
	Reports string
	Remote  loopback.Remote
	Live    Live
	Wait    time.Duration

	Output  string
	Explain bool

	// Suite, when given, is run instead of judging Files.
	Suite   string
	Filter  string
	Verbose bool

	Stdin io.Reader
}

// defaultWait is enough for a large image.
const defaultWait = 5 * time.Minute

// The values of Options.Output.
const (
	outputText = "text"
	outputJSON = "json"
)

// usageError is a mistake in the way the command was called.
type usageError string

func (e usageError) Error() string { return string(e) }

func (o Options) check() error {
	if o.Output != outputText && o.Output != outputJSON {
		return usageError(fmt.Sprintf("--output: %q must be one of %s, %s", o.Output, outputText, outputJSON))
	}
	if o.Wait < 0 {
		return usageError("--wait: a negative time")
	}
	if o.Suite != "" {
		return o.checkSuite()
	}
	switch {
	case len(o.Files) == 0:
		return usageError("--file is missing: which objects are to be judged?")
	case len(o.Templates) == 0:
		return usageError("--templates is missing")
	case len(o.Constraints) == 0:
		return usageError("--constraints is missing")
	case o.Filter != "" || o.Verbose:
		return usageError("--run and --verbose go with --suite only")
	case o.Reports != "" && o.Remote.URL != "":
		return usageError("--reports and --provider-url exclude each other")
	case o.Remote.URL == "" && (o.Remote.CAFile != "" || o.Remote.CertFile != "" || o.Remote.KeyFile != ""):
		return usageError("--provider-ca, --provider-client-cert and --provider-client-key go with --provider-url only")
	}
	return checkPoint(o.EnforcementPoint)
}

func (o Options) checkSuite() error {
	given := len(o.Files) + len(o.Templates) + len(o.Constraints) + len(o.NamespaceObjects) + len(o.Inventory)
	if given > 0 || o.Reports != "" || o.Remote.URL != "" || o.Explain || o.Output != outputText {
		return usageError("--suite names its own templates, constraints, objects and reports: only --run and --verbose go with it")
	}
	return nil
}

func checkPoint(point string) error {
	points := []string{util.WebhookEnforcementPoint, util.AuditEnforcementPoint, util.GatorEnforcementPoint}
	if point == "" || oneOf(point, points...) {
		return nil
	}
	return usageError(fmt.Sprintf("--enforcement-point: %q must be one of %s", point, strings.Join(points, ", ")))
}

// source is where external_data is answered from.
type source struct {
	handler http.Handler
	// timeout is for how long one call may take.
	timeout time.Duration
	// failed is why nothing could be answered at all; it is asked between reviews.
	failed func() error
	end    func()
}

func (o Options) data(ctx context.Context) (source, error) {
	s := source{timeout: o.Wait + defaultTimeout, failed: func() error { return nil }, end: func() {}}
	var err error
	switch {
	case o.Reports != "":
		s.timeout = defaultTimeout
		s.handler, err = fixtures(o.Reports)
	case o.Remote.URL != "":
		s.handler, err = o.Remote.Handler()
		s.handler = loopback.Patient(s.handler, o.Wait)
	case o.Live != nil:
		d := &onDemand{ctx: ctx, live: o.Live, wait: o.Wait}
		s.handler, s.failed, s.end = d, d.failed, d.close
		s.timeout += liveStart
	default:
		err = errors.New("no reports to judge by: give --reports or --provider-url")
	}
	return s, err
}

func fixtures(file string) (http.Handler, error) {
	reports, err := fixture.Load(file)
	if err != nil {
		return nil, err
	}
	return reports.Handler()
}

func (o Options) defaults(c Cluster) Defaults {
	d := Defaults{
		Namespace: o.Namespace,
		User:      authenticationv1.UserInfo{Username: o.User, Groups: o.Groups},
	}
	if d.Namespace == "" && len(o.NamespaceObjects) > 0 && len(c.namespaces) == 1 {
		for name := range c.namespaces {
			d.Namespace = name
		}
	}
	return d
}
