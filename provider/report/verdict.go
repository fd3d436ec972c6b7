package report

import "fmt"

// Policy is how the provider judges what a scanner found.
type Policy struct {
	// Threshold rejects an image that has a finding of this severity or worse.
	Threshold Severity
	// OnlyFixed ignores findings that have no fixed version yet.
	OnlyFixed bool
}

// Judge draws the verdict. A judgement of the scanner's own policy stands:
// Policy applies only to scanners that merely list what they found.
func (p Policy) Judge(s *Scan) (Status, string) {
	switch s.Judgement {
	case JudgementPass:
		return Accepted, "the scanner's policy accepts the image"
	case JudgementFail:
		return Rejected, "the scanner's policy rejects the image" + worstSuffix(s.Vulnerabilities)
	}
	var counting int
	var worst *Vulnerability
	for i, v := range s.Vulnerabilities {
		if !p.counts(v) {
			continue
		}
		if worst == nil {
			worst = &s.Vulnerabilities[i]
		}
		counting++
	}
	if worst == nil {
		return Accepted, p.acceptance(len(s.Vulnerabilities))
	}
	msg := FindingOf(*worst).String()
	if counting > 1 {
		msg += fmt.Sprintf("; and %d more findings of severity %s or worse%s", counting-1, p.Threshold, p.qualifier())
	}
	return Rejected, Clean(msg, maxMessage)
}

func (p Policy) counts(v Vulnerability) bool {
	return v.Severity >= p.Threshold && (v.Fixed != "" || !p.OnlyFixed)
}

func (p Policy) qualifier() string {
	if p.OnlyFixed {
		return " that have a fix"
	}
	return ""
}

func (p Policy) acceptance(found int) string {
	if found == 0 {
		return "no vulnerabilities found"
	}
	return fmt.Sprintf("no finding of severity %s or worse%s (%d below)", p.Threshold, p.qualifier(), found)
}

func worstSuffix(v []Vulnerability) string {
	if len(v) == 0 {
		return ""
	}
	return "; worst finding: " + FindingOf(v[0]).String()
}
