package report

import (
	"cmp"
	"slices"
	"time"
)

// KnownExploited is a finding's entry in CISA's catalogue of known exploited
// vulnerabilities (KEV).
type KnownExploited struct {
	// Added is the day on which it was listed, Due that until which CISA wants it
	// mended: 2023-11-21. Either is empty when not known.
	Added string `json:",omitempty"`
	Due   string `json:",omitempty"`
	// Ransomware says that it is known to be used in campaigns of ransomware; that it
	// is false means that this is not known.
	Ransomware bool
}

// EPSS is a finding's score in the Exploit Prediction Scoring System
// (https://www.first.org/epss). It changes from day to day: a warning, no verdict.
type EPSS struct {
	// Probability is that of an exploitation in the next 30 days, from 0 to 1.
	Probability float64
	// Percentile is which part of all vulnerabilities has at most this probability,
	// from 0 to 1. It is no probability: half of all are above 0.5.
	Percentile float64
	// Date is the day of the score: 2026-11-27; empty when not known.
	Date string `json:",omitempty"`
}

// RiskData says whether a scan knows which of its findings are exploited, and as of
// which day.
type RiskData struct {
	KnownExploited RiskSource
	EPSS           RiskSource
}

// RiskSource is one source of risk data. It is whole when it has a day and nothing
// is missing; otherwise that a finding has none of it means nothing.
type RiskSource struct {
	AsOf time.Time `json:",omitzero"`
	// Missing says why it is not whole; empty when it is.
	Missing string `json:",omitempty"`
}

// Whole reports whether a finding of which the source says nothing is not in it.
func (s RiskSource) Whole() bool { return s.Missing == "" && !s.AsOf.IsZero() }

// KnowsExploited reports whether the scan knows of each finding if it is known to be
// exploited, and otherwise why not.
func (s *Scan) KnowsExploited() (why string, ok bool) {
	switch {
	case s.RiskData == nil:
		return "the scanner does not tell", false
	case s.RiskData.KnownExploited.Missing != "":
		return Clean(s.RiskData.KnownExploited.Missing, maxMissing), false
	case !s.RiskData.KnownExploited.Whole():
		return "the scanner does not say of which day its data is", false
	}
	return "", true
}

// maxMissing bounds what is said of missing data.
const maxMissing = 80

// RiskSummary is how likely the findings of a report are exploited, those that are
// suppressed left out.
type RiskSummary struct {
	// KnownExploited is how many are known to be. Where KnownExploitedAsOf is absent
	// it is how many are known of at least, and absent itself when that is none.
	KnownExploited *int `json:",omitempty"`
	// KnownExploitedAsOf is of when the list of those is; absent when it is not whole.
	KnownExploitedAsOf time.Time `json:",omitzero"`
	// MaxEPSS is the score of the finding that is the likeliest to be exploited;
	// absent when none has one.
	MaxEPSS *EPSS `json:",omitempty"`
	// EPSSAsOf is of when the scores are; absent when they are not whole.
	EPSSAsOf time.Time `json:",omitzero"`
	// Missing says what is not whole, and why: at most one line for each of the two.
	Missing []string `json:",omitempty"`
}

// risk sums up what is known; nil when the scanner says nothing of the kind.
func (s *Scan) risk() *RiskSummary {
	if s.RiskData == nil {
		return nil
	}
	out := &RiskSummary{}
	listed := 0
	for i := range s.Vulnerabilities {
		v := &s.Vulnerabilities[i]
		if v.Suppressed != "" {
			continue
		}
		if v.KnownExploited != nil {
			listed++
		}
		if v.EPSS != nil && (out.MaxEPSS == nil || v.EPSS.Probability > out.MaxEPSS.Probability) {
			out.MaxEPSS = v.EPSS
		}
	}
	if why, ok := s.KnowsExploited(); ok {
		out.KnownExploitedAsOf = s.RiskData.KnownExploited.AsOf
		out.KnownExploited = &listed
	} else {
		out.Missing = append(out.Missing, "known exploited vulnerabilities: "+why)
		if listed > 0 {
			out.KnownExploited = &listed
		}
	}
	switch e := s.RiskData.EPSS; {
	case e.Whole():
		out.EPSSAsOf = e.AsOf
	case e.Missing != "":
		out.Missing = append(out.Missing, "EPSS: "+Clean(e.Missing, maxMissing))
	default:
		out.Missing = append(out.Missing, "EPSS: the scanner does not say of which day its data is")
	}
	return out
}

// ByRisk returns the findings as who has to mend them would order them: those known
// to be exploited first, whatever their severity; then by severity, and within one by
// risk score, those without a score last; then as they were.
func ByRisk(v []Vulnerability) []Vulnerability {
	out := slices.Clone(v)
	slices.SortStableFunc(out, func(a, b Vulnerability) int {
		return cmp.Or(listedFirst(a, b), cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.score(), a.score()))
	})
	return out
}

// score is below all that there are where there is none.
func (v Vulnerability) score() float64 {
	if v.Risk == nil {
		return -1
	}
	return *v.Risk
}

func listedFirst(a, b Vulnerability) int {
	return yesFirst(a.KnownExploited != nil, b.KnownExploited != nil)
}

func likelierFirst(a, b Vulnerability) int { return cmp.Compare(b.probability(), a.probability()) }

func (v Vulnerability) probability() float64 {
	if v.EPSS == nil {
		return 0
	}
	return v.EPSS.Probability
}

// boundRisk keeps of what a scanner says of the risk what can be meant. An entry in
// the catalogue stays one whatever is written in it.
func (v *Vulnerability) boundRisk() {
	if k := v.KnownExploited; k != nil {
		v.KnownExploited = &KnownExploited{Added: onlyDay(k.Added), Due: onlyDay(k.Due), Ransomware: k.Ransomware}
	}
	if e := v.EPSS; e != nil {
		v.EPSS = nil
		if part(e.Probability) && part(e.Percentile) {
			v.EPSS = &EPSS{Probability: e.Probability, Percentile: e.Percentile, Date: onlyDay(e.Date)}
		}
	}
	const highest = 100
	if v.Risk != nil && !(*v.Risk >= 0 && *v.Risk <= highest) {
		v.Risk = nil
	}
}

func part(f float64) bool { return f >= 0 && f <= 1 }

// onlyDay returns the day in a date or time, empty when it is neither.
func onlyDay(s string) string {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Format(time.DateOnly)
		}
	}
	return ""
}

// mergeRisk is what is known of the findings of an image's manifests together: the
// oldest days, and whatever is missing of any. It is not known when one tells
// nothing.
func mergeRisk(scans []*Scan, complete bool) *RiskData {
	if !complete || len(scans) == 0 {
		return nil
	}
	var out *RiskData
	for _, s := range scans {
		switch {
		case s.RiskData == nil:
			return nil
		case out == nil:
			first := *s.RiskData
			out = &first
		default:
			out.KnownExploited = out.KnownExploited.with(s.RiskData.KnownExploited)
			out.EPSS = out.EPSS.with(s.RiskData.EPSS)
		}
	}
	return out
}

func (s RiskSource) with(other RiskSource) RiskSource {
	if s.Missing == "" {
		s.Missing = other.Missing
	}
	s.AsOf = earliest(s.AsOf, other.AsOf)
	return s
}

// riskier takes into out what makes it the worse of itself and other: the two are
// findings of the same flaw on two platforms.
func riskier(out, other Vulnerability) Vulnerability {
	if k := other.KnownExploited; k != nil {
		if out.KnownExploited == nil {
			out.KnownExploited = k
		} else {
			both := *out.KnownExploited
			both.Added, both.Due = lowest(both.Added, k.Added), lowest(both.Due, k.Due)
			both.Ransomware = both.Ransomware || k.Ransomware
			out.KnownExploited = &both
		}
	}
	if other.EPSS != nil && (out.EPSS == nil || other.EPSS.Probability > out.EPSS.Probability) {
		out.EPSS = other.EPSS
	}
	if other.Risk != nil && (out.Risk == nil || *other.Risk > *out.Risk) {
		out.Risk = other.Risk
	}
	return out
}

// fixedSince is when the first fix of two findings was there; zero when it is not
// known of one that has a fix.
func fixedSince(a, b Vulnerability) time.Time {
	switch {
	case a.Fixed == "":
		return b.FixAvailable
	case b.Fixed == "":
		return a.FixAvailable
	}
	return earliest(a.FixAvailable, b.FixAvailable)
}
