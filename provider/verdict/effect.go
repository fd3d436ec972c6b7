package verdict

import (
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Effect is what one finding does to the verdict by severity, age and fix.
type Effect string

// The effects.
const (
	// Rejects: it keeps the image out.
	Rejects Effect = "rejects"
	// Below: its severity is below the threshold.
	Below Effect = "below the threshold"
	// Unfixed: there is no fix yet, and only what has one counts.
	Unfixed Effect = "no fix yet"
	// InGrace: it, or its fix, is too new to count, and will count some day.
	InGrace Effect = "too new to count"
	// SetAside: an exception, a VEX statement or the scanner says that it does not count.
	SetAside Effect = "suppressed"
)

// effect takes a finding with Suppressed filled in.
func (o *Options) effect(v *report.Vulnerability, at time.Time) Effect {
	exploited := o.exploited(v)
	switch {
	case v.Suppressed != "":
		return SetAside
	case v.Severity < o.Threshold && !exploited:
		return Below
	case !exploited && o.OnlyFixed && v.Fixed == "":
		return Unfixed
	case !exploited && o.inGrace(v, at):
		return InGrace
	}
	return Rejects
}

// Effect is what a finding of an Outcome's scan does to the verdict now. Where a
// scanner has a policy of its own, and its word stands, it decides nothing.
func (j *Judge) Effect(v *report.Vulnerability) Effect { return j.o.effect(v, j.o.Now()) }

// Decides reports whether findings decide about a scan with that judgement, and not
// the scanner alone.
func (j *Judge) Decides(by report.Judgement) bool {
	return by == report.JudgementNone || by == report.JudgementPass && j.o.Tighten
}

// Rule is one setting by which is judged.
type Rule struct {
	// Setting is its name: verdict.severityThreshold.
	Setting string
	// Value is as in the configuration: High, 72h0m0s.
	Value string
	// Meaning is what it does, in a few words.
	Meaning string
}

// Rules are the settings in force, those that are off left out.
func (j *Judge) Rules() []Rule {
	o := &j.o
	rules := []Rule{{"verdict.severityThreshold", o.Threshold.String(), "a finding of this severity or worse keeps an image out"}}
	add := func(is bool, r Rule) {
		if is {
			rules = append(rules, r)
		}
	}
	add(o.OnlyFixed, Rule{"verdict.onlyFixed", "true", "only findings that have a fix count"})
	add(o.KEV == KEVDeny, Rule{"verdict.kev", string(o.KEV), "what is known to be exploited counts whatever its severity, fixed or not"})
	add(o.MinCVEAge > 0, Rule{"verdict.minCVEAge", o.MinCVEAge.String(), "a finding counts so long after it was published"})
	add(o.MinFixAge > 0, Rule{"verdict.minFixAge", o.MinFixAge.String(), "a finding counts so long after its first fix was there"})
	add(o.Tighten, Rule{"verdict.tighten", "true", "what a scanner's own policy accepts is judged by these rules too"})
	add(o.Loosen, Rule{"verdict.loosen", "true", "what a scanner's own policy rejects is accepted when all that counts is suppressed"})
	rules = append(rules,
		Rule{"verdict.unmatchedPackages", string(o.UnmatchedPackages), "images some of whose packages nobody could look up"},
		Rule{"verdict.noPackages", string(o.NoPackages), "images in which nothing could be looked up"},
		Rule{"verdict.endOfLife", string(o.EndOfLife), "images whose distribution is maintained no longer"})
	add(o.MaxDatabaseAge > 0, Rule{"verdict.maxDatabaseAge", o.MaxDatabaseAge.String(), "how old the vulnerability data of a scan may be"})
	return rules
}
