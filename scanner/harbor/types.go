// Package harbor holds the documents of Harbor's Pluggable Scanner API 1.1
// (https://github.com/goharbor/pluggable-scanner-spec) as this worker sends and
// receives them, with the few fields it adds under names of its own.
package harbor

import (
	"encoding/json"
	"time"
)

// Severity is one of Harbor's severities, spelled as on the wire.
type Severity string

// Harbor's severities. SeverityNone is for a report without any finding.
const (
	SeverityNone       Severity = "None"
	SeverityUnknown    Severity = "Unknown"
	SeverityNegligible Severity = "Negligible"
	SeverityLow        Severity = "Low"
	SeverityMedium     Severity = "Medium"
	SeverityHigh       Severity = "High"
	SeverityCritical   Severity = "Critical"
)

// Rank orders severities: the higher, the worse.
func (s Severity) Rank() int {
	switch s {
	case SeverityCritical:
		return 6
	case SeverityHigh:
		return 5
	case SeverityMedium:
		return 4
	case SeverityLow:
		return 3
	case SeverityNegligible:
		return 2
	case SeverityUnknown:
		return 1
	default:
		return 0
	}
}

// Scanner names the engine that judged.
type Scanner struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor"`
	Version string `json:"version"`
}

// Capability says what is read and what is made of it.
type Capability struct {
	Consumes []string `json:"consumes_mime_types"`
	Produces []string `json:"produces_mime_types"`
}

// Metadata is the answer of GET /metadata.
type Metadata struct {
	Scanner      Scanner           `json:"scanner"`
	Capabilities []Capability      `json:"capabilities"`
	Properties   map[string]string `json:"properties"`
}

// Registry says where the artifact is and how to be let in.
type Registry struct {
	URL           string `json:"url"`
	Authorization string `json:"authorization,omitempty"`
}

// Artifact is what to scan. Only the digest decides; the tag is for people.
type Artifact struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Tag        string `json:"tag,omitempty"`
	MimeType   string `json:"mime_type,omitempty"`
}

// ScanRequest is the body of POST /scan.
type ScanRequest struct {
	Registry Registry `json:"registry"`
	Artifact Artifact `json:"artifact"`
}

// ScanResponse is the answer of POST /scan.
type ScanResponse struct {
	ID string `json:"id"`
}

// ErrorResponse is the body of every error. Code is this worker's addition:
// one of the values of package failure.
type ErrorResponse struct {
	Error Error `json:"error"`
}

// Error is one sentence and its kind.
type Error struct {
	Message string `json:"message"`
	Code    string `json:"code,omitempty"`
}

// CVSS carries the preferred scores of a finding.
type CVSS struct {
	ScoreV3  *float64 `json:"score_v3,omitempty"`
	ScoreV2  *float64 `json:"score_v2,omitempty"`
	VectorV3 string   `json:"vector_v3,omitempty"`
	VectorV2 string   `json:"vector_v2,omitempty"`
}

// VendorAttributes is what this worker knows beyond Harbor's fields.
type VendorAttributes struct {
	// Aliases are other identifiers of the same vulnerability: the CVE of a GHSA.
	Aliases []string `json:"aliases,omitempty"`
	// Published is when the advisory was first published.
	Published *time.Time `json:"published,omitempty"`
	// PURL is the package's URL: pkg:golang/golang.org/x/text@v0.3.5.
	PURL string `json:"purl,omitempty"`
	// Type is the kind of package: go-module, npm, deb, ...
	Type string `json:"type,omitempty"`
	// Path is the file in the image that shows the package.
	Path string `json:"path,omitempty"`
	// FixState is fixed, not-fixed, wont-fix or unknown.
	FixState string `json:"fix_state,omitempty"`
	// Namespace says which of the database's sources the record is from.
	Namespace string `json:"namespace,omitempty"`
	// KnownExploited is what the catalogue of known exploited vulnerabilities (KEV)
	// of CISA has; absent when it is not listed there, or when that is not known:
	// see Report.RiskData.
	KnownExploited *KnownExploited `json:"known_exploited,omitempty"`
	// EPSS is how likely it is to be exploited; absent when there is no score.
	EPSS *EPSS `json:"epss,omitempty"`
	// Risk is Grype's score from 0 to 100, made of severity, EPSS and known
	// exploitation; absent when neither of the latter is known.
	Risk *float64 `json:"risk,omitempty"`
	// FixAvailable is when the first version that has the fix was there; absent when
	// there is none or the database does not tell.
	FixAvailable *time.Time `json:"fix_available,omitempty"`
}

// KnownExploited is an entry of the catalogue of known exploited vulnerabilities.
type KnownExploited struct {
	// CVEs are those of the finding's that are listed.
	CVEs []string `json:"cves"`
	// DateAdded is the day on which it was listed, DueDate that until which CISA
	// wants it mended: 2023-11-21. Absent when not told.
	DateAdded string `json:"date_added,omitempty"`
	DueDate   string `json:"due_date,omitempty"`
	// Ransomware says that it is known to be used in campaigns of ransomware; false
	// is not known.
	Ransomware bool `json:"ransomware"`
}

// EPSS is a score of the Exploit Prediction Scoring System (https://www.first.org/epss).
type EPSS struct {
	CVE string `json:"cve"`
	// Probability is that of an exploitation in the next 30 days, from 0 to 1.
	Probability float64 `json:"probability"`
	// Percentile is which part of all vulnerabilities has at most this probability,
	// from 0 to 1.
	Percentile float64 `json:"percentile"`
	// Date is the day of the score: 2026-11-27.
	Date string `json:"date"`
}

// RiskData says of which day what the findings say of exploitation is. Where it is
// missing that a finding has none of it means nothing.
type RiskData struct {
	KnownExploited RiskSource `json:"known_exploited"`
	EPSS           RiskSource `json:"epss"`
}

// RiskSource has one of the two: of when the data is, or why it is not whole.
type RiskSource struct {
	AsOf    *time.Time `json:"as_of,omitempty"`
	Missing string     `json:"missing,omitempty"`
}

// Vulnerability is one finding in one package.
type Vulnerability struct {
	ID          string   `json:"id"`
	Package     string   `json:"package"`
	Version     string   `json:"version"`
	FixVersion  string   `json:"fix_version,omitempty"`
	Severity    Severity `json:"severity"`
	Description string   `json:"description"`
	Links       []string `json:"links"`
	CVSS        *CVSS    `json:"preferred_cvss,omitempty"`
	CWEs        []string `json:"cwe_ids,omitempty"`

	VendorAttributes VendorAttributes `json:"vendor_attributes"`
}

// Suppressed is a finding that the engine's own rules took back: said, not
// dropped. It is written like a finding, with the reason beside its fields.
type Suppressed struct {
	Vulnerability
	// Reason is never empty.
	Reason string `json:"reason"`
}

// Report is Harbor's vulnerability report. The fields below Vulnerabilities are
// this worker's additions.
type Report struct {
	GeneratedAt     time.Time       `json:"generated_at"`
	Artifact        Artifact        `json:"artifact"`
	Scanner         Scanner         `json:"scanner"`
	Severity        Severity        `json:"severity"`
	Vulnerabilities []Vulnerability `json:"vulnerabilities"`

	// DatabaseBuiltAt is when the vulnerability data was put together.
	DatabaseBuiltAt time.Time `json:"database_built_at"`
	// DatabaseKind is grype, or sample when the data is the small built-in one.
	DatabaseKind string `json:"database_kind"`
	// Distro is the Linux distribution of the image, when it has one: debian 12.
	Distro string `json:"distro,omitempty"`
	// Packages is how many packages were looked up.
	Packages int `json:"packages"`
	// UnmatchedPackages is how many of them are of a Linux distribution, or of a
	// version of one, that the database has no records of: nothing is found in
	// them whatever they are. Absent when there are none.
	UnmatchedPackages int `json:"unmatched_packages,omitempty"`
	// DistroEndOfLife is when the maintenance of the distribution ends or ended;
	// absent when the database does not tell.
	DistroEndOfLife *time.Time `json:"distro_end_of_life,omitempty"`
	// RiskData says whether it is known which findings are exploited.
	RiskData *RiskData `json:"risk_data,omitempty"`
	// Suppressed are findings that do not count, at most 1000 of them, worst
	// first. They are not among Vulnerabilities, so that a reader who knows
	// nothing of them reads the report rightly.
	Suppressed []Suppressed `json:"suppressed,omitempty"`
}

// MarshalJSON never writes null for the list of findings: an absent list and an
// empty one must not be confused by readers.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	if r.Vulnerabilities == nil {
		r.Vulnerabilities = []Vulnerability{}
	}
	return json.Marshal(plain(r))
}
