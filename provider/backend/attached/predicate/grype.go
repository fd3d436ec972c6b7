package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// grypeReport is Grype's JSON report.
type grypeReport struct {
	Matches        json.RawMessage `json:"matches"`
	IgnoredMatches []grypeMatch    `json:"ignoredMatches"`
	Source         struct {
		Target grypeTarget `json:"target"`
	} `json:"source"`
	Distro struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"distro"`
	// Alerts is of packages that could not be looked up as they should be, such
	// as those of a distribution past its end of life.
	Alerts []struct {
		Alerts []struct {
			Type string `json:"type"`
		} `json:"alerts"`
	} `json:"alertsByPackage"`
	Descriptor struct {
		Name      string        `json:"name"`
		Version   string        `json:"version"`
		Timestamp timestamp     `json:"timestamp"`
		DB        grypeDatabase `json:"db"`
	} `json:"descriptor"`
}

// grypeTarget is the image of a report on an image; other sources have a text.
type grypeTarget struct{ Target }

// UnmarshalJSON implements json.Unmarshaler.
func (t *grypeTarget) UnmarshalJSON(b []byte) error {
	if !isObject(b) {
		return nil
	}
	var in struct {
		ManifestDigest string `json:"manifestDigest"`
		ImageID        string `json:"imageID"`
		OS             string `json:"os"`
		Architecture   string `json:"architecture"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	t.Target = Target{Manifest: in.ManifestDigest, Config: in.ImageID, OS: in.OS, Architecture: in.Architecture}
	return nil
}

// grypeDatabase has the date where schema 5 and where schema 6 put it.
type grypeDatabase struct {
	Built  timestamp `json:"built"`
	Status struct {
		Built timestamp `json:"built"`
		Valid *bool     `json:"valid"`
	} `json:"status"`
}

type grypeMatch struct {
	Vulnerability struct {
		ID         string `json:"id"`
		DataSource string `json:"dataSource"`
		Severity   string `json:"severity"`
		CVSS       []struct {
			Metrics struct {
				BaseScore float64 `json:"baseScore"`
			} `json:"metrics"`
		} `json:"cvss"`
		URLs        []string `json:"urls"`
		Description string   `json:"description"`
		Fix         struct {
			Versions  []string        `json:"versions"`
			Available json.RawMessage `json:"available"`
		} `json:"fix"`
		KnownExploited json.RawMessage `json:"knownExploited"`
		EPSS           json.RawMessage `json:"epss"`
		Risk           json.RawMessage `json:"risk"`
	} `json:"vulnerability"`
	Related []struct {
		ID string `json:"id"`
	} `json:"relatedVulnerabilities"`
	Artifact struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		PURL    string `json:"purl"`
	} `json:"artifact"`
	Rules []struct {
		Reason           string `json:"reason"`
		VEXStatus        string `json:"vex-status"`
		VEXJustification string `json:"vex-justification"`
	} `json:"appliedIgnoreRules"`
}

func readGrype(raw json.RawMessage) (*details, error) {
	var in grypeReport
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("reading Grype's report: %w", err)
	}
	if in.Descriptor.Name != "grype" {
		return nil, unsupported("a report of %q that looks like Grype's", report.Clean(in.Descriptor.Name, maxName))
	}
	if !isList(in.Matches) {
		return nil, errors.New("Grype's report has no list of matches")
	}
	var matches []grypeMatch
	if err := json.Unmarshal(in.Matches, &matches); err != nil {
		return nil, fmt.Errorf("reading Grype's matches: %w", err)
	}
	if valid := in.Descriptor.DB.Status.Valid; valid != nil && !*valid {
		return nil, errors.New("Grype's report was made with a database that is not valid")
	}
	d := &details{
		scanner:         named("Grype", in.Descriptor.Version),
		databaseBuiltAt: in.Descriptor.DB.builtAt(),
		tellsFixes:      true,
		target:          in.Source.Target.Target,
		made:            in.Descriptor.Timestamp.Time,
	}
	for _, m := range matches {
		v, err := m.vulnerability()
		if err != nil {
			return nil, err
		}
		d.findings = append(d.findings, v)
	}
	for _, m := range in.IgnoredMatches {
		v, err := m.vulnerability()
		if err != nil {
			return nil, err
		}
		var why []string
		for _, r := range m.Rules {
			why = append(why, r.VEXStatus, r.VEXJustification, r.Reason)
		}
		v.Suppressed = setAside("Grype", why...)
		d.findings = append(d.findings, v)
	}
	d.coverage = in.coverage(d.findings)
	return d, nil
}

// grypeDistributions are those that Grype has data of, by the names that it and
// their os-release files have for them. Of others it knows names as well, and
// finds nothing in their packages.
func grypeDistributions() []string {
	return []string{
		"alma", "almalinux", "alpine", "amazonlinux", "amzn", "azurelinux", "centos", "chainguard", "debian", "echo", "mariner", "minimos",
		"ol", "oraclelinux", "photon", "redhat", "rhel", "rocky", "rockylinux", "sles", "ubuntu", "wolfi",
	}
}

// coverage is what Grype looked at. It tells the distribution and lists no
// package in which it found nothing.
func (in *grypeReport) coverage(findings []report.Vulnerability) *report.Coverage {
	c := &report.Coverage{
		Distribution: named(in.Distro.Name, in.Distro.Version),
		Packages:     packagesOf(findings),
	}
	if in.Distro.Name == "" {
		return c
	}
	c.Uncounted = true
	c.Gap = gap("Grype", grypeDistributions(), in.Distro.Name, in.Distro.Version)
	for _, p := range in.Alerts {
		for _, a := range p.Alerts {
			if c.Gap == "" {
				c.Gap = "Grype warns of its packages: " + report.Clean(a.Type, maxName)
			}
		}
	}
	return c
}

func (d grypeDatabase) builtAt() time.Time {
	if !d.Status.Built.IsZero() {
		return d.Status.Built.Time
	}
	return d.Built.Time
}

func (m grypeMatch) vulnerability() (report.Vulnerability, error) {
	if m.Vulnerability.ID == "" || m.Artifact.Name == "" {
		return report.Vulnerability{}, errors.New("a match has no vulnerability.id or no artifact.name")
	}
	var scores []float64
	for _, c := range m.Vulnerability.CVSS {
		scores = append(scores, c.Metrics.BaseScore)
	}
	severity, err := report.Rate(m.Vulnerability.Severity, slices.Max(append(scores, 0)))
	if err != nil {
		return report.Vulnerability{}, unsupported("%s: %w", report.Clean(m.Vulnerability.ID, maxName), err)
	}
	v := report.Vulnerability{
		ID:          m.Vulnerability.ID,
		Package:     m.Artifact.Name,
		PURL:        m.Artifact.PURL,
		Installed:   m.Artifact.Version,
		Fixed:       strings.Join(m.Vulnerability.Fix.Versions, ", "),
		Severity:    severity,
		Description: m.Vulnerability.Description,
		Links:       m.Vulnerability.URLs,
	}
	if len(v.Links) == 0 && m.Vulnerability.DataSource != "" {
		v.Links = []string{m.Vulnerability.DataSource}
	}
	for _, r := range m.Related {
		if r.ID != "" && r.ID != v.ID {
			v.Aliases = append(v.Aliases, r.ID)
		}
	}
	m.weigh(&v)
	return v, nil
}

// weigh fills in what the report says of a finding's risk. That it says nothing means
// nothing: Grype is silent as well when it cannot read its list of what is exploited,
// which is why a report of its has no report.RiskData.
func (m grypeMatch) weigh(v *report.Vulnerability) {
	var listed []struct {
		Added      string `json:"dateAdded"`
		Due        string `json:"dueDate"`
		Ransomware string `json:"knownRansomwareCampaignUse"`
	}
	err := json.Unmarshal(m.Vulnerability.KnownExploited, &listed)
	switch raw := string(m.Vulnerability.KnownExploited); {
	case raw == "" || raw == "null":
	case err != nil:
		v.KnownExploited = &report.KnownExploited{} // an entry, even one that cannot be read
	case len(listed) > 0:
		v.KnownExploited = &report.KnownExploited{Added: listed[0].Added, Due: listed[0].Due}
		for _, k := range listed {
			v.KnownExploited.Ransomware = v.KnownExploited.Ransomware || strings.EqualFold(k.Ransomware, "known")
		}
	}
	var scores []struct {
		Probability *float64 `json:"epss"`
		Percentile  *float64 `json:"percentile"`
		Date        string   `json:"date"`
	}
	if json.Unmarshal(m.Vulnerability.EPSS, &scores) == nil {
		for _, s := range scores {
			if s.Probability != nil && s.Percentile != nil && (v.EPSS == nil || *s.Probability > v.EPSS.Probability) {
				v.EPSS = &report.EPSS{Probability: *s.Probability, Percentile: *s.Percentile, Date: s.Date}
			}
		}
	}
	var score float64
	// Grype writes 0 where it knows neither.
	if json.Unmarshal(m.Vulnerability.Risk, &score) == nil && score > 0 {
		v.Risk = &score
	}
	var fixes []struct {
		Date string `json:"date"`
	}
	if len(m.Vulnerability.Fix.Versions) > 0 && json.Unmarshal(m.Vulnerability.Fix.Available, &fixes) == nil {
		for _, f := range fixes {
			at, err := time.Parse(time.DateOnly, f.Date)
			if err == nil && (v.FixAvailable.IsZero() || at.Before(v.FixAvailable)) {
				v.FixAvailable = at
			}
		}
	}
}
