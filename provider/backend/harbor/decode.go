package harbor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

type vulnerabilityReport struct {
	GeneratedAt     time.Time       `json:"generated_at"`
	Artifact        artifact        `json:"artifact"`
	Scanner         agent           `json:"scanner"`
	Severity        string          `json:"severity"`
	Vulnerabilities json.RawMessage `json:"vulnerabilities"`
	// The rest are the bundled worker's additions.
	DatabaseBuiltAt json.RawMessage `json:"database_built_at"`
	DatabaseKind    json.RawMessage `json:"database_kind"`
	Suppressed      json.RawMessage `json:"suppressed"`
	Distro          json.RawMessage `json:"distro"`
	Packages        json.RawMessage `json:"packages"`
	Unmatched       json.RawMessage `json:"unmatched_packages"`
	EndOfLife       json.RawMessage `json:"distro_end_of_life"`
	RiskData        json.RawMessage `json:"risk_data"`
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
	CVSS        json.RawMessage `json:"preferred_cvss"`
	Vendor      json.RawMessage `json:"vendor_attributes"`
}

// vendorAttributes are the bundled worker's; other adapters put other things
// there, which are passed over.
type vendorAttributes struct {
	Aliases   []string `json:"aliases"`
	Published string   `json:"published"`
	PURL      string   `json:"purl"`
}

// riskAttributes are the bundled worker's too. They are read by themselves, each as
// far as it can be: what is wrong with one must not hide another.
type riskAttributes struct {
	KnownExploited json.RawMessage `json:"known_exploited"`
	EPSS           json.RawMessage `json:"epss"`
	Risk           json.RawMessage `json:"risk"`
	FixAvailable   json.RawMessage `json:"fix_available"`
}

// decode reads a report. Whatever cannot be read as one is a failure; whether
// what was read counts is for report.Complete to say.
func decode(r *reply, m *metadata) (*report.Scan, error) {
	if err := checkType(r.header.Get("Content-Type"), reportType, legacyType); err != nil {
		return nil, notAReport(err)
	}
	var in vulnerabilityReport
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, notAReport(err)
	}
	items, err := in.items(r.body)
	if err != nil {
		return nil, notAReport(err)
	}
	overall, err := severity(in.Severity)
	if err != nil {
		return nil, notAReport(err)
	}
	var inner bytes.Buffer
	if err := json.Compact(&inner, r.body); err != nil {
		return nil, notAReport(err)
	}
	out := &report.Scan{
		Scanner:         withDatabase(in.Scanner.named(m), string(in.DatabaseKind) == `"`+sampleKind+`"`),
		Subject:         in.Artifact.Digest,
		ScannedAt:       in.GeneratedAt,
		DatabaseBuiltAt: in.databaseBuiltAt(m),
		Overall:         overall,
		Coverage:        in.coverage(),
		LeftOut:         m.leftOut(),
		RiskData:        in.riskData(),
		Inner:           inner.Bytes(),
	}
	for _, i := range items {
		v, err := i.vulnerability()
		if err != nil {
			return nil, report.Incomplete(fmt.Sprintf("finding %q: %s", report.Clean(i.ID, maxName), err))
		}
		out.Vulnerabilities = append(out.Vulnerabilities, v)
	}
	out.Vulnerabilities = append(out.Vulnerabilities, in.suppressed()...)
	report.Arrange(out.Vulnerabilities)
	return out, nil
}

// maxName bounds an identifier that is quoted.
const maxName = 64

// named is the scanner of a report. One that leaves out its version has the one
// that the adapter told.
func (a agent) named(m *metadata) string {
	switch {
	case strings.TrimSpace(a.Name) == "":
		return ""
	case a.Version == "" && a.Name == m.Scanner.Name:
		return m.Scanner.String()
	}
	return a.String()
}

// sampleKind is what the bundled worker calls the database that is for
// demonstrations, in its reports and in the property kindProperty.
const (
	sampleKind   = "sample"
	kindProperty = "imagegate.dev/vulnerability-database"
)

// withDatabase is a scanner as reports name it. One with the sample database is
// another scanner: whoever reads the report has to see it, and a real database is
// reason to scan anew.
func withDatabase(scanner string, sample bool) string {
	if !sample || scanner == "" {
		return scanner
	}
	return scanner + " with the " + report.SampleDatabase
}

// items reads the list. An adapter may leave it out, or write null, when it has
// nothing to list; one that lists something by another name says something that
// is not understood, and must not read as one that lists nothing.
func (v *vulnerabilityReport) items(body []byte) ([]item, error) {
	if len(v.Vulnerabilities) > 0 && !bytes.Equal(v.Vulnerabilities, []byte("null")) {
		var items []item
		if err := json.Unmarshal(v.Vulnerabilities, &items); err != nil {
			return nil, err
		}
		return items, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !ownField(name) && holdsSomething(fields[name]) {
			return nil, fmt.Errorf("it has no vulnerabilities but a list or an object called %q", report.Clean(name, maxName))
		}
	}
	return nil, nil
}

// ownField reports whether a report may have a field of this name, as
// encoding/json compares names.
func ownField(name string) bool {
	t := reflect.TypeFor[vulnerabilityReport]()
	for i := range t.NumField() {
		if strings.EqualFold(t.Field(i).Tag.Get("json"), name) {
			return true
		}
	}
	return false
}

// holdsSomething reports whether a value is an object or a list with something
// in it.
func holdsSomething(raw json.RawMessage) bool {
	var list []json.RawMessage
	var object map[string]json.RawMessage
	return json.Unmarshal(raw, &list) == nil && len(list) > 0 || json.Unmarshal(raw, &object) == nil && len(object) > 0
}

// coverage is what the bundled worker says it looked at; nil from others.
func (v *vulnerabilityReport) coverage() *report.Coverage {
	var c report.Coverage
	if json.Unmarshal(v.Packages, &c.Packages) != nil || bytes.Equal(v.Packages, []byte("null")) {
		return nil
	}
	if len(v.Unmatched) > 0 && json.Unmarshal(v.Unmatched, &c.Unmatched) != nil {
		return nil
	}
	if len(v.Distro) > 0 && json.Unmarshal(v.Distro, &c.Distribution) != nil {
		return nil
	}
	c.Distribution = report.Clean(c.Distribution, maxName)
	if len(v.EndOfLife) > 0 && json.Unmarshal(v.EndOfLife, &c.EndOfLife) != nil {
		return nil
	}
	return &c
}

func notAReport(err error) *report.Failure {
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: "the scanner's answer is not a vulnerability report: " + redact(err.Error()),
		Err:     err,
	}
}

// checkType lets pass the types in any version, and plain JSON, which some
// adapters send; the version in the header is not reliable in the wild.
func checkType(header string, types ...string) error {
	got, _, err := mime.ParseMediaType(header)
	if err != nil {
		return fmt.Errorf("its media type is %q", header)
	}
	for _, known := range types {
		if base, _, _ := strings.Cut(known, ";"); got == base {
			return nil
		}
	}
	if got != "application/json" {
		return fmt.Errorf("its media type is %q", got)
	}
	return nil
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
		if set.Bound() != nil {
			continue
		}
		out = append(out, set)
	}
	return out
}

func (i item) vulnerability() (report.Vulnerability, error) {
	rank, err := report.Rate(i.Severity, i.scores()...)
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
	var risk riskAttributes
	if json.Unmarshal(i.Vendor, &risk) == nil {
		risk.into(&v)
	}
	return v, v.Bound()
}

// into fills in what is known of a finding's risk.
func (r *riskAttributes) into(v *report.Vulnerability) {
	if said := string(r.KnownExploited); said != "" && said != "null" && said != "false" {
		var k struct {
			Added      string `json:"date_added"`
			Due        string `json:"due_date"`
			Ransomware bool   `json:"ransomware"`
		}
		// It is an entry, even one that cannot be read.
		_ = json.Unmarshal(r.KnownExploited, &k)
		v.KnownExploited = &report.KnownExploited{Added: k.Added, Due: k.Due, Ransomware: k.Ransomware}
	}
	var e struct {
		Probability *float64 `json:"probability"`
		Percentile  *float64 `json:"percentile"`
		Date        string   `json:"date"`
	}
	if json.Unmarshal(r.EPSS, &e) == nil && e.Probability != nil && e.Percentile != nil {
		v.EPSS = &report.EPSS{Probability: *e.Probability, Percentile: *e.Percentile, Date: e.Date}
	}
	var score *float64
	if json.Unmarshal(r.Risk, &score) == nil {
		v.Risk = score
	}
	var at string
	if json.Unmarshal(r.FixAvailable, &at) == nil {
		v.FixAvailable = date(at)
	}
}

// riskData is what the bundled worker says of its risk data; nil from others, and
// when it cannot be read.
func (v *vulnerabilityReport) riskData() *report.RiskData {
	type source struct {
		AsOf    time.Time `json:"as_of"`
		Missing string    `json:"missing"`
	}
	var in *struct {
		KnownExploited source `json:"known_exploited"`
		EPSS           source `json:"epss"`
	}
	if json.Unmarshal(v.RiskData, &in) != nil || in == nil {
		return nil
	}
	read := func(s source) report.RiskSource {
		return report.RiskSource{AsOf: s.AsOf, Missing: report.Clean(s.Missing, maxMissing)}
	}
	return &report.RiskData{KnownExploited: read(in.KnownExploited), EPSS: read(in.EPSS)}
}

// maxMissing bounds what is kept of why risk data is missing.
const maxMissing = 160

func date(s string) time.Time {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at
		}
	}
	return time.Time{}
}

// scores are the CVSS base scores of a finding: the preferred ones as the API has
// them, and the worst of those that Trivy's adapter gives for each vendor.
// Whatever is written there in another form is passed over.
func (i item) scores() []float64 {
	var preferred struct {
		V4 float64 `json:"score_v4"`
		V3 float64 `json:"score_v3"`
		V2 float64 `json:"score_v2"`
	}
	_ = json.Unmarshal(i.CVSS, &preferred)
	var vendors struct {
		CVSS map[string]struct {
			V40 float64 `json:"V40Score"`
			V3  float64 `json:"V3Score"`
			V2  float64 `json:"V2Score"`
		} `json:"CVSS"`
	}
	_ = json.Unmarshal(i.Vendor, &vendors)
	var v4, v3, v2 float64
	for _, v := range vendors.CVSS {
		v4, v3, v2 = max(v4, v.V40), max(v3, v.V3), max(v2, v.V2)
	}
	return []float64{preferred.V3, preferred.V4, preferred.V2, v3, v4, v2}
}

// severity reads the word for the image as a whole, which may be missing.
func severity(s string) (report.Severity, error) {
	if s == "" {
		return report.SeverityUnknown, nil
	}
	return report.Rate(s)
}
