package report

import (
	"encoding/json"
	"time"
)

// ScanReport is the answer to one image reference and what Rego sees as
// input.ScanReport. ImageAndTag, Status and InnerReport are spelled as in the
// ancestor's documentation; the other fields are imagegate's own.
type ScanReport struct {
	// ImageAndTag is the reference as the Pod wrote it.
	ImageAndTag string
	Status      Status
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
	// Vulnerabilities is in the findings and full views only, worst first.
	Vulnerabilities []Vulnerability `json:",omitempty"`
	// InnerReport is in the full view only: the scanner's own report.
	InnerReport json.RawMessage `json:",omitempty"`
	// Truncated is true when a size limit removed InnerReport or the tail of
	// Vulnerabilities. What is left is still worst first.
	Truncated bool `json:",omitempty"`
}

// Summary is the part of a report that always fits: numbers and the few worst
// findings.
type Summary struct {
	Total   int
	Counts  Counts
	Fixable Counts
	// Worst lists at most MaxWorst findings.
	Worst []Finding `json:",omitempty"`
	// Omitted is how many findings Worst leaves out.
	Omitted int
}

// Finding is a vulnerability in one line.
type Finding struct {
	ID        string
	Package   string
	Installed string
	Fixed     string `json:",omitempty"`
	Severity  Severity
}

// MaxWorst bounds Summary.Worst.
const MaxWorst = 5

// Summarize counts vulnerabilities, which must be sorted worst first.
func Summarize(vulnerabilities []Vulnerability) *Summary {
	s := &Summary{Total: len(vulnerabilities)}
	for i, v := range vulnerabilities {
		s.Counts[v.Severity]++
		if v.Fixed != "" {
			s.Fixable[v.Severity]++
		}
		if i < MaxWorst {
			s.Worst = append(s.Worst, finding(v))
		}
	}
	s.Omitted = s.Total - len(s.Worst)
	return s
}

func finding(v Vulnerability) Finding {
	return Finding{
		ID:        clean(v.ID, maxID),
		Package:   clean(v.Package, maxPackage),
		Installed: clean(v.Installed, maxVersion),
		Fixed:     clean(v.Fixed, maxVersion),
		Severity:  v.Severity,
	}
}
