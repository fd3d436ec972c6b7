package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// trivyReport is Trivy's JSON report, schema version 2.
type trivyReport struct {
	SchemaVersion int    `json:"SchemaVersion"`
	ArtifactType  string `json:"ArtifactType"`
	Trivy         struct {
		Version string `json:"Version"`
	} `json:"Trivy"`
	Results []trivyResult `json:"Results"`
}

type trivyResult struct {
	Class           string         `json:"Class"`
	Vulnerabilities []trivyFinding `json:"Vulnerabilities"`
	// Modified are findings that a rule or a VEX document took out.
	Modified []struct {
		Type      string          `json:"Type"`
		Status    string          `json:"Status"`
		Statement string          `json:"Statement"`
		Source    string          `json:"Source"`
		Finding   json.RawMessage `json:"Finding"`
	} `json:"ExperimentalModifiedFindings"`
}

type trivyFinding struct {
	VulnerabilityID string `json:"VulnerabilityID"`
	PkgName         string `json:"PkgName"`
	PkgIdentifier   struct {
		PURL string `json:"PURL"`
	} `json:"PkgIdentifier"`
	InstalledVersion string     `json:"InstalledVersion"`
	FixedVersion     string     `json:"FixedVersion"`
	Severity         string     `json:"Severity"`
	PrimaryURL       string     `json:"PrimaryURL"`
	References       []string   `json:"References"`
	Title            string     `json:"Title"`
	Description      string     `json:"Description"`
	PublishedDate    *time.Time `json:"PublishedDate"`
}

// readTrivy reads a report on an image or on its list of packages. Trivy
// leaves out the vulnerabilities of a clean target, and all targets when it
// found no packages or did not look for vulnerabilities: a report without a
// target that has packages says nothing.
func readTrivy(raw json.RawMessage) (*details, error) {
	var in trivyReport
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("reading Trivy's report: %w", err)
	}
	if in.SchemaVersion != 2 {
		return nil, unsupported("Trivy's report has schema version %d", in.SchemaVersion)
	}
	switch in.ArtifactType {
	case "container_image", "cyclonedx", "spdx":
	default:
		return nil, unsupported("Trivy's report is about a %q", report.Clean(in.ArtifactType, maxName))
	}
	d := &details{scanner: named("Trivy", in.Trivy.Version), tellsFixes: true}
	packages := false
	for _, r := range in.Results {
		packages = packages || r.Class == "os-pkgs" || r.Class == "lang-pkgs"
		if err := r.appendTo(d); err != nil {
			return nil, err
		}
	}
	if !packages {
		return nil, errors.New("Trivy's report has no target with packages")
	}
	return d, nil
}

func (r trivyResult) appendTo(d *details) error {
	for _, f := range r.Vulnerabilities {
		v, err := f.vulnerability()
		if err != nil {
			return err
		}
		d.findings = append(d.findings, v)
	}
	for _, m := range r.Modified {
		if m.Type != "vulnerability" {
			continue
		}
		var f trivyFinding
		if err := json.Unmarshal(m.Finding, &f); err != nil {
			return fmt.Errorf("reading a finding that Trivy set aside: %w", err)
		}
		v, err := f.vulnerability()
		if err != nil {
			return err
		}
		v.Suppressed = setAside("Trivy", m.Status, m.Statement, m.Source)
		d.findings = append(d.findings, v)
	}
	return nil
}

func (f trivyFinding) vulnerability() (report.Vulnerability, error) {
	if f.VulnerabilityID == "" || f.PkgName == "" {
		return report.Vulnerability{}, errors.New("a finding has no VulnerabilityID or no PkgName")
	}
	severity, ok := report.SeverityOf(f.Severity)
	if !ok {
		return report.Vulnerability{}, unsupported("severity %q", report.Clean(f.Severity, maxName))
	}
	v := report.Vulnerability{
		ID:          f.VulnerabilityID,
		Package:     f.PkgName,
		PURL:        f.PkgIdentifier.PURL,
		Installed:   f.InstalledVersion,
		Fixed:       f.FixedVersion,
		Severity:    severity,
		Description: f.Description,
		Links:       f.References,
	}
	if v.Description == "" {
		v.Description = f.Title
	}
	if len(v.Links) == 0 && f.PrimaryURL != "" {
		v.Links = []string{f.PrimaryURL}
	}
	if f.PublishedDate != nil {
		v.Published = *f.PublishedDate
	}
	return v, nil
}

// setAside says by whom and why a finding does not count.
func setAside(by string, why ...string) string {
	const most = 256
	out := by + " set it aside"
	for _, w := range why {
		if w != "" {
			out += ": " + w
		}
	}
	return report.Clean(out, most)
}
