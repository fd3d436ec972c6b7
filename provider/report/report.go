package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// ScanReport is the answer to one image reference and what Rego sees as
// input.ScanReport. ImageAndTag, Status and InnerReport are spelled as in
// "Performing Image Scanning on Admission Controller with OPA",
// https://sysdig.com/blog/image-scanning-admission-controller/; the other fields are
// imagegate's own, and stand in templates/input.schema.json too.
type ScanReport struct {
	// ImageAndTag is the reference as the Pod's author wrote it: as asked for, or
	// the original that the asker sent beside it, when the provider knows that
	// it meant this digest.
	ImageAndTag string
	// Image is the reference that was asked for, where an original was sent
	// beside it. It tells which image the report is about: use Asked.
	Image  string `json:",omitempty"`
	Status Status
	// Digest is what was judged, sha256:...; empty while unresolved.
	Digest string `json:",omitempty"`
	// Message is one sentence that says why the status is what it is.
	Message string `json:",omitempty"`
	// Summary counts the findings; absent while there is no finished scan.
	Summary *Summary `json:",omitempty"`
	// Scanner, ScannedAt and DatabaseBuiltAt say who judged, when, and on
	// which vulnerability data.
	Scanner         string    `json:",omitempty"`
	ScannedAt       time.Time `json:",omitzero"`
	DatabaseBuiltAt time.Time `json:",omitzero"`
	// Vulnerabilities is in the findings and full views only, worst first. It is
	// absent for a clean image, whose Summary.Total is 0, and when the scanner
	// did not list what it found: then Summary is absent too.
	Vulnerabilities []Vulnerability `json:",omitempty"`
	// InnerReport is in the full view only: the scanner's own report.
	InnerReport json.RawMessage `json:",omitempty"`
	// Truncated is true when a size limit removed InnerReport or the tail of
	// Vulnerabilities. What is left is still worst first.
	Truncated bool `json:",omitempty"`
}

// Asked returns the reference that the report answers.
func (r ScanReport) Asked() string { return cmp.Or(r.Image, r.ImageAndTag) }

// Summary is the part of a report that always fits: numbers and the few worst
// findings. Suppressed findings are in none of them but Suppressed and
// SuppressedBy.
type Summary struct {
	Total   int
	Counts  Counts
	Fixable Counts
	// Worst lists at most MaxWorst findings.
	Worst []Finding `json:",omitempty"`
	// Omitted is how many findings Worst leaves out.
	Omitted int
	// Suppressed is how many findings do not count, and SuppressedBy says of
	// the worst of them, at most MaxSuppressed, why.
	Suppressed   int                 `json:",omitempty"`
	SuppressedBy []SuppressedFinding `json:",omitempty"`
	// Coverage is what was looked at; absent when that is not known.
	Coverage *Coverage `json:",omitempty"`
	// Risk is how likely the findings are exploited; absent when the scanner says
	// nothing of the kind, which is not the same as a risk of nothing.
	Risk *RiskSummary `json:",omitempty"`
}

// Finding is a vulnerability in one line.
type Finding struct {
	ID        string
	Package   string
	Installed string
	Fixed     string `json:",omitempty"`
	Severity  Severity
	// Exploited says that it is known to be exploited; that it is absent may mean that
	// nobody knows: Summary.Risk says.
	Exploited bool `json:",omitempty"`
	// Platforms are those of an index that have the finding, at most
	// MaxPlatforms.
	Platforms []string `json:",omitempty"`
}

// SuppressedFinding is a finding that does not count, with the reason.
type SuppressedFinding struct {
	ID      string
	Package string
	By      string
}

// MaxWorst bounds Summary.Worst, MaxSuppressed Summary.SuppressedBy,
// MaxPlatforms the platforms of a Finding.
const (
	MaxWorst      = 5
	MaxSuppressed = 3
	MaxPlatforms  = 16
)

// Summarize counts vulnerabilities, which must be sorted worst first.
func Summarize(vulnerabilities []Vulnerability) *Summary {
	s := &Summary{}
	for _, v := range vulnerabilities {
		if v.Suppressed != "" {
			s.suppress(v)
			continue
		}
		s.Total++
		s.Counts[v.Severity]++
		if v.Fixed != "" {
			s.Fixable[v.Severity]++
		}
		if len(s.Worst) < MaxWorst {
			s.Worst = append(s.Worst, FindingOf(v))
		}
	}
	s.Omitted = s.Total - len(s.Worst)
	return s
}

func (s *Summary) suppress(v Vulnerability) {
	s.Suppressed++
	if len(s.SuppressedBy) < MaxSuppressed {
		s.SuppressedBy = append(s.SuppressedBy, SuppressedOf(v))
	}
}

// FindingOf returns v in one line whose every part is bounded and printable.
func FindingOf(v Vulnerability) Finding {
	return Finding{
		ID:        Clean(v.ID, maxID),
		Package:   Clean(v.Package, maxPackage),
		Installed: Clean(v.Installed, maxVersion),
		Fixed:     Clean(v.Fixed, maxVersion),
		Severity:  v.Severity,
		Exploited: v.KnownExploited != nil,
		Platforms: v.platforms(),
	}
}

func (v Vulnerability) platforms() []string {
	var out []string
	for _, p := range v.Platforms[:min(len(v.Platforms), MaxPlatforms)] {
		out = append(out, Clean(p, maxPlatform))
	}
	return out
}

// String says what a Pod's author has to change.
func (f Finding) String() string {
	fix := ", no fix yet"
	if f.Fixed != "" {
		fix = ", fixed in " + f.Fixed
	}
	severity := f.Severity.String()
	if f.Exploited {
		severity += ", known to be exploited"
	}
	return fmt.Sprintf("%s (%s) in %s %s%s", f.ID, severity, f.Package, f.Installed, fix)
}

// SuppressedOf returns what is said of a suppressed v, bounded and printable.
func SuppressedOf(v Vulnerability) SuppressedFinding {
	return SuppressedFinding{
		ID:      Clean(v.ID, maxID),
		Package: Clean(v.Package, maxPackage),
		By:      Clean(v.Suppressed, maxReason),
	}
}
