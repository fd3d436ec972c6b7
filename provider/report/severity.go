package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Severity ranks a finding. The zero value is SeverityUnknown, and a greater
// value is worse. Its JSON form is the spelling of the Harbor Pluggable
// Scanner API: Unknown, Negligible, Low, Medium, High, Critical.
type Severity int

// The severities, least severe first.
const (
	SeverityUnknown Severity = iota
	SeverityNegligible
	SeverityLow
	SeverityMedium
	SeverityHigh
	SeverityCritical
)

func severityNames() [6]string {
	return [...]string{"Unknown", "Negligible", "Low", "Medium", "High", "Critical"}
}

// Severities returns all severities, worst first.
func Severities() []Severity {
	return []Severity{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow, SeverityNegligible, SeverityUnknown}
}

// ParseSeverity reads a severity in any letter case.
func ParseSeverity(s string) (Severity, error) {
	for i, name := range severityNames() {
		if strings.EqualFold(name, s) {
			return Severity(i), nil
		}
	}
	return SeverityUnknown, fmt.Errorf("severity %q must be one of Critical, High, Medium, Low, Negligible, Unknown", s)
}

// SeverityOf reads the words of scanners, NVD and the distributions in any
// letter case. ok is false for every other word, the empty one included: who
// took it for Unknown would have a finding of "Catastrophic" pass as harmless.
func SeverityOf(word string) (s Severity, ok bool) {
	switch strings.ToLower(word) {
	case "important":
		return SeverityHigh, true
	case "moderate":
		return SeverityMedium, true
	case "informational", "info", "minimal":
		return SeverityNegligible, true
	case "none", "unassigned":
		return SeverityUnknown, true
	}
	s, err := ParseSeverity(word)
	return s, err == nil
}

// Rate returns the severity of a finding that a scanner gives a word and CVSS
// base scores; either may be missing, the scores being given best first. A word
// that says something stands: distributions rate their own packages. A word that
// says nothing, or none at all, yields to the first score above zero, which an
// unscored record has. A finding with neither has no severity, which is an
// error and not Unknown.
func Rate(word string, scores ...float64) (Severity, error) {
	s, known := SeverityOf(word)
	if word != "" && !known {
		return SeverityUnknown, fmt.Errorf("severity %q is not known", Clean(word, maxWord))
	}
	if s > SeverityUnknown {
		return s, nil
	}
	for _, score := range scores {
		if rated, ok := ofScore(score); ok {
			return rated, nil
		}
	}
	if word == "" {
		return SeverityUnknown, errors.New("it names neither a severity nor a CVSS score")
	}
	return SeverityUnknown, nil
}

// maxWord bounds a severity that is quoted.
const maxWord = 32

// ofScore rates a base score as CVSS 3 and 4 do. CVSS 2 knows no Critical: rated
// this way its scores are never milder than by its own scale.
func ofScore(score float64) (Severity, bool) {
	switch {
	case score <= 0 || score > 10:
		return SeverityUnknown, false
	case score >= 9:
		return SeverityCritical, true
	case score >= 7:
		return SeverityHigh, true
	case score >= 4:
		return SeverityMedium, true
	}
	return SeverityLow, true
}

// String returns the spelling used in reports.
func (s Severity) String() string {
	names := severityNames()
	if s < 0 || int(s) >= len(names) {
		return names[SeverityUnknown]
	}
	return names[s]
}

// MarshalText writes the spelling used in reports.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity strictly: it is how configuration is read.
// Scanners' own words go through SeverityOf.
func (s *Severity) UnmarshalText(b []byte) error {
	v, err := ParseSeverity(string(b))
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// Counts holds a number for each severity. Its JSON form is an object that
// always has all six keys, so that a policy may read any of them unguarded.
type Counts [6]int

// Of returns the number for one severity.
func (c Counts) Of(s Severity) int { return c[s] }

// MarshalJSON writes {"Critical":n,...,"Unknown":n}.
func (c Counts) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, s := range Severities() {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%d", s, c[s])
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// UnmarshalJSON reads the form that MarshalJSON writes; a missing key is zero.
func (c *Counts) UnmarshalJSON(b []byte) error {
	var m map[Severity]int
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("reading counts by severity: %w", err)
	}
	*c = Counts{}
	for s, n := range m {
		c[s] = n
	}
	return nil
}
