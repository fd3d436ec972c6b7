package verdict

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/report"
)

// Options is how images are judged.
type Options struct {
	// Threshold rejects an image that has a finding of this severity or worse.
	Threshold report.Severity
	// OnlyFixed ignores findings that have no fixed version yet.
	OnlyFixed bool
	// KEV is what a finding counts for that is known to be exploited.
	KEV KEV
	// MinCVEAge is how long a finding does not count after it was published,
	// MinFixAge how long after its first fix was there; zero is no such grace. What is
	// of no known date has none, and neither has what KEVDeny rejects.
	MinCVEAge time.Duration
	MinFixAge time.Duration
	// ExceptionsFile is a YAML list of exceptions; empty is none.
	ExceptionsFile string
	// VEXFiles are OpenVEX documents.
	VEXFiles []string

	// Tighten rejects what a scanner with a policy of its own lets pass when a
	// finding reaches the threshold. Otherwise its pass stands.
	Tighten bool
	// Loosen accepts what a scanner with a policy of its own rejects when it
	// has findings that reach the threshold and every one of them is
	// suppressed. The scanner may have had reasons that are no findings (the
	// image runs as root, say): they are overruled with it.
	Loosen bool

	// UnmatchedPackages says what an image counts for some of whose packages
	// nobody could look up, NoPackages what one counts for in which nothing could
	// be looked up, EndOfLife what one counts for whose distribution is known to
	// be maintained no longer.
	UnmatchedPackages Choice
	NoPackages        Choice
	EndOfLife         Choice
	// MaxDatabaseAge is how old the vulnerability data of a scan may be when it is
	// judged; zero is of any age. Data of unknown age is too old.
	MaxDatabaseAge time.Duration
	// Believed names the scanners that are to be believed when they list nothing
	// and do not say what they looked at: a scan of one that is not any more does
	// not count then, whenever it was made. The names are report.Scan's.
	Believed []string

	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer may be nil: no metrics then.
	Registerer prometheus.Registerer
}

func (o *Options) complete() error {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if !slices.Contains(report.Severities(), o.Threshold) {
		errs = append(errs, fmt.Errorf("option Threshold: %d is no severity", int(o.Threshold)))
	}
	for name, choice := range map[string]*Choice{"UnmatchedPackages": &o.UnmatchedPackages, "NoPackages": &o.NoPackages, "EndOfLife": &o.EndOfLife} {
		switch *choice {
		case "":
			*choice = Reject
		case Accept, Reject:
		default:
			errs = append(errs, fmt.Errorf("option %s: %q must be one of %s, %s", name, *choice, Accept, Reject))
		}
	}
	switch o.KEV {
	case "":
		o.KEV = KEVReport
	case KEVReport, KEVDeny:
	default:
		errs = append(errs, fmt.Errorf("option KEV: %q must be one of %s, %s", o.KEV, KEVReport, KEVDeny))
	}
	for name, age := range map[string]time.Duration{"MaxDatabaseAge": o.MaxDatabaseAge, "MinCVEAge": o.MinCVEAge, "MinFixAge": o.MinFixAge} {
		if age < 0 {
			errs = append(errs, fmt.Errorf("option %s: %s is negative", name, age))
		}
	}
	for i, f := range o.VEXFiles {
		switch {
		case f == "":
			errs = append(errs, fmt.Errorf("option VEXFiles[%d]: is empty", i))
		case slices.Contains(o.VEXFiles[:i], f):
			errs = append(errs, fmt.Errorf("option VEXFiles[%d]: %s is there twice", i, f))
		}
	}
	return errors.Join(errs...)
}
