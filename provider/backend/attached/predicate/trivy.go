package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	CreatedAt timestamp     `json:"CreatedAt"`
	Metadata  trivyMetadata `json:"Metadata"`
	Results   []trivyResult `json:"Results"`
}

type trivyMetadata struct {
	OS struct {
		Family string `json:"Family"`
		Name   string `json:"Name"`
		// EOSL says that the distribution no longer publishes what is found.
		EOSL bool `json:"EOSL"`
	} `json:"OS"`
	// ImageID is the digest of the configuration.
	ImageID     string `json:"ImageID"`
	ImageConfig struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"ImageConfig"`
}

type trivyResult struct {
	Class string `json:"Class"`
	// Type is the distribution's family where Class is os-pkgs.
	Type string `json:"Type"`
	// Packages are left out by older versions unless they are asked for.
	Packages        []struct{}     `json:"Packages"`
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
	CVSS            map[string]struct {
		V2 float64 `json:"V2Score"`
		V3 float64 `json:"V3Score"`
		V4 float64 `json:"V40Score"`
	} `json:"CVSS"`
	PkgIdentifier struct {
		PURL string `json:"PURL"`
	} `json:"PkgIdentifier"`
	VendorIDs        []string   `json:"VendorIDs"`
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
	d := &details{
		scanner: named("Trivy", in.Trivy.Version), tellsFixes: true, made: in.CreatedAt.Time,
		target: Target{
			Config: in.Metadata.ImageID,
			OS:     in.Metadata.ImageConfig.OS, Architecture: in.Metadata.ImageConfig.Architecture,
		},
	}
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
	d.coverage = in.coverage(d.findings)
	return d, nil
}

// trivyFamilies are the distributions that Trivy has data of
// (github.com/aquasecurity/trivy/pkg/detector/ospkg), with their names in older
// versions. Of others, of which it knows more, it looks up no package and says
// nothing about it.
func trivyFamilies() []string {
	return []string{
		"alma", "alpine", "amazon", "azurelinux", "bottlerocket", "cbl-mariner", "centos", "chainguard", "coreos", "debian",
		"echo", "minimos", "opensuse-leap", "opensuse.leap", "opensuse-tumbleweed", "opensuse.tumbleweed", "oracle", "photon",
		"redhat", "rocky", "slem", "suse linux enterprise micro", "sles", "suse linux enterprise server", "ubuntu", "wolfi",
	}
}

// coverage is what Trivy looked at. A distribution whose packages it looked up
// has a target of its own, and is one that it has data of: with all packages
// listed there is a target for the others too.
func (in *trivyReport) coverage(findings []report.Vulnerability) *report.Coverage {
	os := in.Metadata.OS
	c := &report.Coverage{Distribution: named(os.Family, os.Name)}
	looked := false
	for _, r := range in.Results {
		c.Packages += len(r.Packages)
		looked = looked || r.Class == "os-pkgs" && r.Type == os.Family
	}
	if os.Family == "" {
		return c
	}
	if c.Packages == 0 {
		c.Packages, c.Uncounted = packagesOf(findings), true
	}
	switch c.Gap = gap("Trivy", trivyFamilies(), os.Family, os.Name); {
	case c.Gap != "":
	case os.EOSL:
		c.Gap = c.Distribution + " is past its end of life"
	case !looked:
		c.Gap = "the packages of " + c.Distribution + " were not looked up"
	}
	return c
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
	var v4, v3, v2 float64
	for _, s := range f.CVSS {
		v4, v3, v2 = max(v4, s.V4), max(v3, s.V3), max(v2, s.V2)
	}
	severity, err := report.Rate(f.Severity, v3, v4, v2)
	if err != nil {
		return report.Vulnerability{}, unsupported("%s: %w", report.Clean(f.VulnerabilityID, maxName), err)
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
	for _, id := range f.VendorIDs {
		// A distribution's advisory may cover several flaws: it is no name of one.
		if strings.HasPrefix(id, "GHSA-") && id != v.ID {
			v.Aliases = append(v.Aliases, id)
		}
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
