package predicate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// sarifLog is the part of SARIF 2.1.0
// (docs.oasis-open.org/sarif/sarif/v2.1.0) that Trivy and Grype fill.
type sarifLog struct {
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver struct {
			Name    string      `json:"name"`
			Version string      `json:"version"`
			Rules   []sarifRule `json:"rules"`
		} `json:"driver"`
	} `json:"tool"`
	Invocations []struct {
		ExecutionSuccessful *bool     `json:"executionSuccessful"`
		EndTimeUTC          timestamp `json:"endTimeUtc"`
	} `json:"invocations"`
	// Results is null when the tool did not get to look: that is not a list
	// without results.
	Results    json.RawMessage `json:"results"`
	Properties struct {
		ImageName string `json:"imageName"`
	} `json:"properties"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifRule struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Help    sarifText `json:"help"`
	HelpURI string    `json:"helpUri"`
	Default struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
	Full       sarifText `json:"fullDescription"`
	Properties struct {
		SecuritySeverity flexibleStr `json:"security-severity"`
		PURLs            []string    `json:"purls"`
	} `json:"properties"`
}

type sarifResult struct {
	RuleID       string    `json:"ruleId"`
	RuleIndex    *int      `json:"ruleIndex"`
	Kind         string    `json:"kind"`
	Level        string    `json:"level"`
	Message      sarifText `json:"message"`
	Suppressions []struct {
		Status        string `json:"status"`
		Justification string `json:"justification"`
	} `json:"suppressions"`
}

func readSARIF(raw json.RawMessage) (*details, error) {
	var in sarifLog
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("reading SARIF: %w", err)
	}
	if in.Version != "2.1.0" {
		return nil, unsupported("SARIF version %q", report.Clean(in.Version, maxName))
	}
	// Several runs could be of several tools, of which one may have failed.
	if len(in.Runs) != 1 {
		return nil, unsupported("SARIF with %d runs instead of one", len(in.Runs))
	}
	return in.Runs[0].details()
}

func (r *sarifRun) details() (*details, error) {
	tool, err := r.tool()
	if err != nil {
		return nil, err
	}
	if !isList(r.Results) {
		return nil, errors.New("the SARIF run has no list of results")
	}
	var results []sarifResult
	if err := json.Unmarshal(r.Results, &results); err != nil {
		return nil, fmt.Errorf("reading SARIF results: %w", err)
	}
	d := &details{scanner: named(tool, r.Tool.Driver.Version), tellsFixes: true}
	for _, i := range r.Invocations {
		if i.ExecutionSuccessful != nil && !*i.ExecutionSuccessful {
			return nil, errors.New("the SARIF run did not succeed")
		}
		if i.EndTimeUTC.After(d.finished) {
			d.finished = i.EndTimeUTC.Time
		}
	}
	rules := map[string]*sarifRule{}
	for i := range r.Tool.Driver.Rules {
		rules[r.Tool.Driver.Rules[i].ID] = &r.Tool.Driver.Rules[i]
	}
	for _, result := range results {
		if err := r.appendTo(d, tool, rules, result); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// tool recognises whose run it is. Trivy looks for other things than
// vulnerabilities, in other things than images: only in a report on an image
// it names one.
func (r *sarifRun) tool() (string, error) {
	switch name := r.Tool.Driver.Name; strings.ToLower(name) {
	case "grype":
		return "Grype", nil
	case "trivy":
		if r.Properties.ImageName == "" {
			return "", unsupported("Trivy's SARIF run is not about an image")
		}
		return "Trivy", nil
	default:
		return "", unsupported("SARIF of tool %q", report.Clean(name, maxName))
	}
}

func (r *sarifRun) appendTo(d *details, tool string, rules map[string]*sarifRule, in sarifResult) error {
	rule := rules[in.RuleID]
	if i := in.RuleIndex; rule == nil && i != nil && *i >= 0 && *i < len(r.Tool.Driver.Rules) {
		rule = &r.Tool.Driver.Rules[*i]
	}
	if rule == nil {
		return fmt.Errorf("SARIF result of rule %q, which is not described", report.Clean(in.RuleID, maxName))
	}
	if in.Kind == "pass" || in.Kind == "notApplicable" {
		return nil
	}
	switch rule.Name {
	case "Misconfiguration", "Secret", "License": // Trivy's other scanners
		if tool == "Trivy" {
			return nil
		}
	}
	v, tells, err := vulnerabilityOf(rule, in)
	if err != nil {
		return err
	}
	for _, s := range in.Suppressions {
		if s.Status == "" || s.Status == "accepted" {
			v.Suppressed = setAside(tool, s.Justification)
		}
	}
	d.tellsFixes = d.tellsFixes && tells
	d.findings = append(d.findings, v)
	return nil
}

// vulnerabilityOf puts together what a rule and its result say. Both tools
// write the package as lines "Key: value", Trivy in the result's message, Grype
// in the rule's help; the rule's identifier is the vulnerability's with Trivy
// and that and the package's with Grype.
func vulnerabilityOf(rule *sarifRule, in sarifResult) (v report.Vulnerability, tellsFixes bool, err error) {
	lines := linesOf(in.Message.Text, rule.Help.Text)
	v = report.Vulnerability{
		ID:          lines["vulnerability"],
		Package:     lines["package"],
		Installed:   cmp.Or(lines["installed version"], lines["version"]),
		Description: rule.Full.Text,
	}
	if v.ID == "" {
		v.ID = rule.ID
	}
	if v.ID == "" {
		return v, false, errors.New("a SARIF rule has no id")
	}
	if len(rule.Properties.PURLs) > 0 {
		v.PURL = rule.Properties.PURLs[0]
	}
	if rule.HelpURI != "" {
		v.Links = []string{rule.HelpURI}
	}
	for _, key := range []string{"fixed version", "fix version"} {
		if fixed, ok := lines[key]; ok {
			v.Fixed, tellsFixes = fixed, true
		}
	}
	v.Severity, err = rule.severity(in, lines["severity"])
	return v, tellsFixes, err
}

// severity is the worse of the rule's security-severity, a CVSS score, and the
// word that the tool writes beside the package; without either the level:
// error is High, warning Medium, note Low, none Negligible.
func (r *sarifRule) severity(in sarifResult, word string) (report.Severity, error) {
	severity, read := report.SeverityOf(word)
	if s := string(r.Properties.SecuritySeverity); s != "" {
		n, err := strconv.ParseFloat(s, 64)
		scored, ok := ofScore(n)
		if err != nil || !ok {
			return 0, unsupported("security-severity %q", report.Clean(s, maxName))
		}
		severity, read = max(severity, scored), true
	}
	if read {
		return severity, nil
	}
	level := in.Level
	if level == "" {
		level = r.Default.Level
	}
	switch level {
	case "error":
		return report.SeverityHigh, nil
	case "warning", "": // the standard's default
		return report.SeverityMedium, nil
	case "note":
		return report.SeverityLow, nil
	case "none":
		return report.SeverityNegligible, nil
	}
	return 0, unsupported("SARIF level %q", report.Clean(level, maxName))
}

// linesOf reads "Key: value" lines, the first text first; "Vulnerability X"
// has no colon. What follows "Link:" is the advisory's own text.
func linesOf(texts ...string) map[string]string {
	out := map[string]string{}
	for _, text := range texts {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			key, value, ok := strings.Cut(line, ":")
			if id, found := strings.CutPrefix(line, "Vulnerability "); found {
				key, value, ok = "vulnerability", id, true
			}
			key = strings.ToLower(key)
			if key == "link" {
				break
			}
			if _, seen := out[key]; ok && !seen {
				out[key] = strings.TrimSpace(value)
			}
		}
	}
	return out
}
