package report

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// What is not known is said so, and never as "no" or 0.
const notKnown = "?"

// ExploitedSaid says since when a finding of the summed up is known to be exploited:
// "2023-11-21 ransomware"; - for no, only where that is known, else ?.
func (s *RiskSummary) ExploitedSaid(v *Vulnerability) string {
	k := v.KnownExploited
	switch {
	case k == nil && (s == nil || s.KnownExploitedAsOf.IsZero()):
		return notKnown
	case k == nil:
		return "-"
	case k.Ransomware:
		return strings.TrimSpace(k.Added + " ransomware")
	}
	return cmp.Or(k.Added, "yes")
}

// EPSSSaid is the probability with its percentile, which must not be taken for each
// other, or ?.
func (v *Vulnerability) EPSSSaid() string {
	e := v.EPSS
	if e == nil {
		return notKnown
	}
	const percent = 100
	return fmt.Sprintf("%.2f%% (percentile %.0f)", e.Probability*percent, e.Percentile*percent)
}

// RiskSaid is the risk score, from 0.0 to 100.0, or ?.
func (v *Vulnerability) RiskSaid() string {
	if v.Risk == nil {
		return notKnown
	}
	return fmt.Sprintf("%.1f", *v.Risk)
}

// RiskSaid says of which day what is known of exploitation is; nothing where the
// scanner says nothing of the kind.
func (s *Summary) RiskSaid() string {
	if s == nil || s.Risk == nil {
		return ""
	}
	var parts []string
	if at := s.Risk.KnownExploitedAsOf; !at.IsZero() {
		parts = append(parts, "known exploited vulnerabilities of "+at.UTC().Format(time.DateOnly))
	}
	if at := s.Risk.EPSSAsOf; !at.IsZero() {
		parts = append(parts, "EPSS of "+at.UTC().Format(time.DateOnly))
	}
	for _, m := range s.Risk.Missing {
		parts = append(parts, "without "+m)
	}
	return strings.Join(parts, "; ")
}

// Covered says what was looked at, and what was not; nothing where there is no scan.
func (s *Summary) Covered() string {
	switch {
	case s == nil:
		return ""
	case s.Coverage == nil:
		return "not known"
	}
	out := s.Coverage.String()
	if s.Coverage.Unmatched > 0 {
		out += fmt.Sprintf(", of which %d could not be looked up", s.Coverage.Unmatched)
	}
	if end := s.Coverage.EndOfLife; !end.IsZero() {
		out += ", end of life " + end.UTC().Format(time.DateOnly)
	}
	if s.Coverage.Gap != "" {
		out += "; " + s.Coverage.Gap
	}
	return out
}
