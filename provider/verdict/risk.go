package verdict

import (
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// KEV is what a finding counts for that is among the known exploited
// vulnerabilities. The zero value is KEVReport.
type KEV string

// The rules.
const (
	// KEVReport tells that it is, and judges it like any other.
	KEVReport KEV = "report"
	// KEVDeny rejects the image whatever the finding's severity and whether there is
	// a fix or not; exceptions hold. A scan that does not know which of its findings
	// are exploited counts as failed.
	KEVDeny KEV = "deny"
)

// exploited reports whether a finding counts for that reason alone.
func (o *Options) exploited(v *report.Vulnerability) bool {
	return o.KEV == KEVDeny && v.KnownExploited != nil
}

// inGrace reports whether a finding is too new to count.
func (o *Options) inGrace(v *report.Vulnerability, at time.Time) bool {
	return younger(v.Published, o.MinCVEAge, at) || v.Fixed != "" && younger(v.FixAvailable, o.MinFixAge, at)
}

// younger reports whether a known date is less than age ago. One in the future is a
// mistake: taken for new it would stay so.
func younger(date time.Time, age time.Duration, at time.Time) bool {
	return age > 0 && !date.IsZero() && !report.Future(date, at) && date.Add(age).After(at)
}

// unknownRisk says that nobody knows which findings are exploited, where that counts.
func (o *Options) unknownRisk(scan *report.Scan) string {
	why, ok := scan.KnowsExploited()
	if ok || o.KEV != KEVDeny {
		return ""
	}
	return "it is not known which vulnerabilities of the image are exploited: " + why + " (verdict.kev)"
}

// holds reports whether an exception holds for a finding while it has not expired.
// What is not known ends it.
func (e *exception) holds(v *report.Vulnerability, known bool, at time.Time) bool {
	if e.kevDeny && (v.KnownExploited != nil || !known) {
		return false
	}
	return e.minFixAge == nil || v.Fixed == "" || younger(v.FixAvailable, *e.minFixAge, at)
}
