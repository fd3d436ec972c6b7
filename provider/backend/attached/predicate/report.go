package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// The predicate types that are read as reports.
const (
	VulnsV01   = "https://in-toto.io/attestation/vulns/v0.1"
	VulnsV02   = "https://in-toto.io/attestation/vulns/v0.2"
	CosignVuln = "https://cosign.sigstore.dev/attestation/vuln/v1"
	// SARIF is the namespace that the standard has; a path below it, as
	// "/errata01", is read as well.
	SARIF = "https://docs.oasis-open.org/sarif/sarif/v2.1.0"
)

// cosignVulnBare is how cosign itself wrote the type for some years.
const cosignVulnBare = "cosign.sigstore.dev/attestation/vuln/v1"

const maxName = 64

// Report is what a predicate says.
type Report struct {
	// Scan has everything but ReceivedAt. Inner is the predicate as it is.
	Scan *report.Scan
	// TellsFixes is false when some finding does not say whether there is a
	// fix, so that "no fix" cannot be told from "not known".
	TellsFixes bool
	// Target is what the report itself says that it looked at.
	Target Target
}

// Target is the image that a scanner says it looked at, as far as it says so.
type Target struct {
	// Manifest and Config are the digests of its manifest and configuration.
	Manifest, Config string
	// OS and Architecture are its platform's.
	OS, Architecture string
}

// details are what the formats yield.
type details struct {
	scanner         string
	finished        time.Time
	databaseBuiltAt time.Time
	findings        []report.Vulnerability
	tellsFixes      bool
	target          Target
	// coverage is nil in the formats that cannot tell what was looked at.
	coverage *report.Coverage
	// made is when the scanner itself says that it made the report, which is not
	// when somebody wrapped it up and signed it; zero where it does not say.
	made time.Time
}

// maxLag is how much later than its end a scanner may date its own report.
const maxLag = time.Minute

// settle makes one time of the two there may be, the older. Whoever wraps and
// signs a report of last month today has not scanned today.
func (d *details) settle() error {
	if d.finished.IsZero() {
		return errors.New("the report does not say when the scan ended")
	}
	if d.made.IsZero() {
		return nil
	}
	if d.made.Sub(d.finished) > maxLag {
		return fmt.Errorf("the report was made %s, after the scan is said to have ended", d.made.UTC().Format(time.RFC3339))
	}
	if d.made.Before(d.finished) {
		d.finished = d.made
	}
	return nil
}

// ReadReport reads the predicate of a statement that is a report.
func ReadReport(s *Statement) (*Report, error) {
	var d *details
	var err error
	switch t := s.PredicateType; {
	case t == VulnsV01 || t == VulnsV02:
		d, err = readVulns(s.Predicate)
	case t == CosignVuln || t == cosignVulnBare:
		d, err = readCosign(s.Predicate)
	case isType(t, SARIF):
		d, err = readSARIF(s.Predicate)
	default:
		return nil, unsupported("predicate of type %q", report.Clean(t, maxName))
	}
	if err != nil {
		return nil, err
	}
	if err := d.settle(); err != nil {
		return nil, err
	}
	for i := range d.findings {
		if err := d.findings[i].Bound(); err != nil {
			return nil, err
		}
	}
	report.Arrange(d.findings)
	return &Report{
		TellsFixes: d.tellsFixes,
		Target:     d.target,
		Scan: &report.Scan{
			Scanner:         "attached: " + d.scanner,
			ScannedAt:       d.finished.UTC(),
			DatabaseBuiltAt: d.databaseBuiltAt.UTC(),
			Coverage:        d.coverage,
			Vulnerabilities: d.findings,
			Inner:           s.Predicate,
		},
	}, nil
}

// record is the frame that in-toto's and cosign's predicates share.
type record struct {
	Scanner struct {
		URI     string          `json:"uri"`
		Version string          `json:"version"`
		DB      database        `json:"db"`
		Result  json.RawMessage `json:"result"`
	} `json:"scanner"`
	Metadata struct {
		ScanFinishedOn timestamp `json:"scanFinishedOn"`
	} `json:"metadata"`
}

type database struct {
	LastUpdate timestamp `json:"lastUpdate"`
}

// timestamp is RFC 3339; an absent, null or empty one is zero.
type timestamp struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *timestamp) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || s == "" {
		return err
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("reading a time: %w", err)
	}
	t.Time = at
	return nil
}

func readRecord(raw json.RawMessage) (*record, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("reading the predicate: %w", err)
	}
	if r.Metadata.ScanFinishedOn.IsZero() {
		return nil, errors.New("metadata.scanFinishedOn is missing")
	}
	return &r, nil
}

// scannerName makes "trivy 0.19.2" of pkg:github/aquasecurity/trivy@244fd47 and
// a version. Both end up in logs and reports.
func scannerName(uri, version string) string {
	name := uri
	if u, err := url.Parse(uri); err == nil {
		name = u.Path + u.Opaque
	}
	name = path.Base(strings.TrimRight(name, "/"))
	name, ofURI, _ := strings.Cut(name, "@")
	if name == "." || name == "/" {
		name = ""
	}
	if version == "" {
		version = ofURI
	}
	return named(name, version)
}

func named(name, version string) string {
	return strings.TrimSpace(report.Clean(name, maxName) + " " + report.Clean(version, maxName))
}
