package harbor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner"
)

type vulnerabilityReport struct {
	GeneratedAt     time.Time `json:"generated_at"`
	Artifact        artifact  `json:"artifact"`
	Scanner         agent     `json:"scanner"`
	Severity        string    `json:"severity"`
	Vulnerabilities []item    `json:"vulnerabilities"`
	// DatabaseBuiltAt and Suppressed are the bundled worker's additions.
	DatabaseBuiltAt json.RawMessage `json:"database_built_at"`
	Suppressed      json.RawMessage `json:"suppressed"`
}

// suppressedItem is a finding that the scanner set aside.
type suppressedItem struct {
	item
	Reason string `json:"reason"`
}

type item struct {
	ID          string          `json:"id"`
	Package     string          `json:"package"`
	Version     string          `json:"version"`
	FixVersion  string          `json:"fix_version"`
	Severity    string          `json:"severity"`
	Description string          `json:"description"`
	Links       []string        `json:"links"`
	Vendor      json.RawMessage `json:"vendor_attributes"`
}

// vendorAttributes are the bundled worker's; other adapters put other things
// there, which are passed over.
type vendorAttributes struct {
	Aliases   []string `json:"aliases"`
	Published string   `json:"published"`
	PURL      string   `json:"purl"`
}

// decode reads a report. Whatever does not prove to be a whole report on the
// image is a failure: an empty object must never read as "nothing found".
func decode(r *reply, m *metadata, image scanner.Image) (*report.Scan, error) {
	if err := checkType(r.header.Get("Content-Type")); err != nil {
		return nil, notAReport(err)
	}
	var in vulnerabilityReport
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, notAReport(err)
	}
	if err := in.check(image); err != nil {
		return nil, notAReport(err)
	}
	var inner bytes.Buffer
	if err := json.Compact(&inner, r.body); err != nil {
		return nil, notAReport(err)
	}
	out := &report.Scan{
		Scanner:         in.Scanner.String(),
		ScannedAt:       in.GeneratedAt,
		DatabaseBuiltAt: in.databaseBuiltAt(m),
		Inner:           inner.Bytes(),
	}
	if in.Scanner.Version == "" && in.Scanner.Name == m.Scanner.Name {
		out.Scanner = m.Scanner.String()
	}
	if out.ScannedAt.IsZero() {
		out.ScannedAt = time.Now().UTC().Truncate(time.Second)
	}
	for _, i := range in.Vulnerabilities {
		v, err := i.vulnerability()
		if err != nil {
			return nil, notAReport(err)
		}
		out.Vulnerabilities = append(out.Vulnerabilities, v)
	}
	out.Vulnerabilities = append(out.Vulnerabilities, in.suppressed()...)
	report.SortVulnerabilities(out.Vulnerabilities)
	return out, nil
}

func notAReport(err error) *report.Failure {
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: "the scanner's answer is not a vulnerability report: " + redact(err.Error()),
		Err:     err,
	}
}

// checkType lets pass the report types in any version, and plain JSON, which
// some adapters send; the version in the header is not reliable in the wild.
func checkType(header string) error {
	got, _, err := mime.ParseMediaType(header)
	if err != nil {
		return fmt.Errorf("its media type is %q", header)
	}
	for _, known := range []string{reportType, legacyType} {
		if base, _, _ := strings.Cut(known, ";"); got == base {
			return nil
		}
	}
	if got != "application/json" {
		return fmt.Errorf("its media type is %q", got)
	}
	return nil
}

func (v *vulnerabilityReport) check(image scanner.Image) error {
	if v.Scanner.Name == "" {
		return fmt.Errorf("it names no scanner")
	}
	if d := v.Artifact.Digest; d != "" && d != image.Digest {
		return fmt.Errorf("it is about %s instead of %s", d, image.Digest)
	}
	s, err := severity(v.Severity)
	if len(v.Vulnerabilities) == 0 && s > report.SeverityNegligible {
		return fmt.Errorf("it is of severity %s and lists no vulnerability", s)
	}
	return err
}

func (v *vulnerabilityReport) databaseBuiltAt(m *metadata) time.Time {
	var s string
	if json.Unmarshal(v.DatabaseBuiltAt, &s) == nil {
		if at, err := time.Parse(time.RFC3339, s); err == nil {
			return at
		}
	}
	return m.databaseBuiltAt()
}

// suppressed are the findings that do not count. Another adapter may use the
// name for something else; that is passed over.
func (v *vulnerabilityReport) suppressed() []report.Vulnerability {
	var items []suppressedItem
	if json.Unmarshal(v.Suppressed, &items) != nil {
		return nil
	}
	var out []report.Vulnerability
	for _, i := range items {
		// Without a reason it would read as a finding that counts.
		if i.ID == "" || i.Reason == "" {
			continue
		}
		set, err := i.vulnerability()
		if err != nil {
			continue
		}
		set.Suppressed = i.Reason
		out = append(out, set)
	}
	return out
}

func (i item) vulnerability() (report.Vulnerability, error) {
	rank, err := severity(i.Severity)
	if err != nil {
		return report.Vulnerability{}, err
	}
	v := report.Vulnerability{
		ID:          i.ID,
		Package:     i.Package,
		Installed:   i.Version,
		Fixed:       i.FixVersion,
		Severity:    rank,
		Description: i.Description,
		Links:       i.Links,
	}
	var vendor vendorAttributes
	if json.Unmarshal(i.Vendor, &vendor) == nil {
		v.Aliases = vendor.Aliases
		v.Published = date(vendor.Published)
		v.PURL = vendor.PURL
	}
	return v, nil
}

func date(s string) time.Time {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at
		}
	}
	return time.Time{}
}

// severity reads the API's words and those of the distributions that scanners
// pass on. None at all is Unknown, as "None" is; any other word is an error,
// for a policy would let pass what is worse than Unknown.
func severity(s string) (report.Severity, error) {
	if s == "" {
		return report.SeverityUnknown, nil
	}
	v, ok := report.SeverityOf(s)
	if !ok {
		return v, fmt.Errorf("it has a severity of %q, which is not known", s)
	}
	return v, nil
}
