package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// grypeReport is Grype's JSON report.
type grypeReport struct {
	Matches        json.RawMessage `json:"matches"`
	IgnoredMatches []grypeMatch    `json:"ignoredMatches"`
	Descriptor     struct {
		Name    string        `json:"name"`
		Version string        `json:"version"`
		DB      grypeDatabase `json:"db"`
	} `json:"descriptor"`
}

// grypeDatabase has the date where schema 5 and where schema 6 put it.
type grypeDatabase struct {
	Built  string `json:"built"`
	Status struct {
		Built string `json:"built"`
	} `json:"status"`
}

type grypeMatch struct {
	Vulnerability struct {
		ID          string   `json:"id"`
		DataSource  string   `json:"dataSource"`
		Severity    string   `json:"severity"`
		URLs        []string `json:"urls"`
		Description string   `json:"description"`
		Fix         struct {
			Versions []string `json:"versions"`
		} `json:"fix"`
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
	d := &details{
		scanner:         named("Grype", in.Descriptor.Version),
		databaseBuiltAt: in.Descriptor.DB.builtAt(),
		tellsFixes:      true,
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
	return d, nil
}

func (d grypeDatabase) builtAt() time.Time {
	for _, s := range []string{d.Status.Built, d.Built} {
		if at, err := time.Parse(time.RFC3339, s); err == nil {
			return at
		}
	}
	return time.Time{}
}

func (m grypeMatch) vulnerability() (report.Vulnerability, error) {
	if m.Vulnerability.ID == "" || m.Artifact.Name == "" {
		return report.Vulnerability{}, errors.New("a match has no vulnerability.id or no artifact.name")
	}
	severity, ok := report.SeverityOf(m.Vulnerability.Severity)
	if !ok && m.Vulnerability.Severity != "" { // Grype leaves out what it does not know
		return report.Vulnerability{}, unsupported("severity %q", report.Clean(m.Vulnerability.Severity, maxName))
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
	return v, nil
}
