package verdict

import (
	"fmt"
	"slices"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Choice is what a gap in what is known counts for. The zero value is Reject.
type Choice string

// The choices.
const (
	// Reject makes the image's status scan_failed.
	Reject Choice = "reject"
	// Accept lets the image in when nothing else is against it.
	Accept Choice = "accept"
)

// gap says why an image that no finding keeps out has not been looked into
// enough to let it in, or nothing. It names the setting that decides.
func (o *Options) gap(scan *report.Scan, now time.Time) string {
	for _, why := range []string{o.oldData(scan, now), o.silence(scan), o.unknownRisk(scan), o.leftOut(scan), o.unmatched(scan.Coverage), o.ended(scan.Coverage, now), o.nothing(scan.Coverage)} {
		if why != "" {
			return why
		}
	}
	return ""
}

// oldData judges the age of the data that the scan was made with, whoever made
// it. Data whose age nobody tells may be of any.
func (o *Options) oldData(scan *report.Scan, now time.Time) string {
	const setting = " (verdict.maxDatabaseAge)"
	switch age := now.Sub(scan.DatabaseBuiltAt); {
	case o.MaxDatabaseAge == 0:
		return ""
	case scan.DatabaseBuiltAt.IsZero():
		return fmt.Sprintf("the scanner does not say how old its vulnerability data is; it may be %s old", days(o.MaxDatabaseAge)) + setting
	case report.Future(scan.DatabaseBuiltAt, now):
		return fmt.Sprintf("the scanner's vulnerability data is dated %s, which is in the future", day(scan.DatabaseBuiltAt)) + setting
	case age > o.MaxDatabaseAge:
		return fmt.Sprintf("the scan was made with vulnerability data of %s, which is %s old; it may be %s old",
			day(scan.DatabaseBuiltAt), days(age), days(o.MaxDatabaseAge)) + setting
	}
	return ""
}

func (o *Options) silence(scan *report.Scan) string {
	if scan.Silent() && (scan.Believed == "" || !slices.Contains(o.Believed, scan.Believed)) {
		setting := " (scanner.harbor.emptyReport)"
		if scan.Attached {
			setting = " (scanner.attached.unstated)"
		}
		return report.SaidNothing + setting
	}
	return ""
}

// leftOut compares what the scanner is configured not to report with what the
// verdict counts: no setting here can make up for that.
func (o *Options) leftOut(scan *report.Scan) string {
	if scan.LeftOut == nil {
		return ""
	}
	for _, s := range report.Severities() {
		if o.KEV == KEVDeny && scan.LeftOut.Misses(s) {
			return fmt.Sprintf("the scanner is configured not to report findings of severity %s, which may be known to be exploited (verdict.kev)", s)
		}
		if s >= o.Threshold && scan.LeftOut.Misses(s) {
			return fmt.Sprintf("the scanner is configured not to report findings of severity %s, which count here (verdict.severityThreshold)", s)
		}
	}
	if scan.LeftOut.Unfixed && o.KEV == KEVDeny {
		return "the scanner is configured not to report what has no fix yet, which may be known to be exploited (verdict.kev)"
	}
	if scan.LeftOut.Unfixed && !o.OnlyFixed {
		return "the scanner is configured not to report what has no fix yet, which counts here (verdict.onlyFixed)"
	}
	if scan.LeftOut.Packages != "" && o.UnmatchedPackages != Accept {
		return fmt.Sprintf("the scanner is configured not to look up %s (verdict.unmatchedPackages)", report.Clean(scan.LeftOut.Packages, maxSaid))
	}
	return ""
}

func (o *Options) unmatched(c *report.Coverage) string {
	const setting = " (verdict.unmatchedPackages)"
	if c == nil || o.UnmatchedPackages == Accept {
		return ""
	}
	if c.Unmatched > 0 {
		of := "no distribution was recognised in the image"
		if c.Distribution != "" {
			of = "the scanner has no records of " + report.Clean(c.Distribution, maxSaid)
		}
		return fmt.Sprintf("%d of %d packages could not be looked up: %s", c.Unmatched, c.Packages, of) + setting
	}
	if c.Gap != "" {
		return "not all of the image was looked up: " + report.Clean(c.Gap, maxSaid) + setting
	}
	return ""
}

func (o *Options) ended(c *report.Coverage, now time.Time) string {
	if c == nil || c.EndOfLife.IsZero() || now.Before(c.EndOfLife) || o.EndOfLife == Accept {
		return ""
	}
	return fmt.Sprintf("%s is past its end of life since %s: what is found in it is no longer kept up (verdict.endOfLife)",
		report.Clean(c.Distribution, maxSaid), day(c.EndOfLife))
}

func (o *Options) nothing(c *report.Coverage) string {
	if c == nil || !c.Nothing() || o.NoPackages == Accept {
		return ""
	}
	return lookedUpNothing(c) + " (verdict.noPackages)"
}

// lookedUpNothing is what is said of an image in which nothing could be looked
// up, whether it counts or not: nothing was found there because nobody could.
func lookedUpNothing(c *report.Coverage) string {
	if c.Packages > 0 {
		return fmt.Sprintf("nothing in the image could be looked up: none of its %s", c)
	}
	if c.Distribution != "" {
		return "nothing in the image could be looked up: the scanner found no packages of " + report.Clean(c.Distribution, maxSaid)
	}
	return "nothing in the image could be looked up: the scanner found no packages and recognised no distribution"
}

// foundNothing says what it means that a scan has no findings at all.
func foundNothing(c *report.Coverage) string {
	switch {
	case c == nil:
		return report.SaidNothing
	case c.Nothing():
		return lookedUpNothing(c)
	case c.Unmatched > 0 && !c.Uncounted:
		return fmt.Sprintf("no vulnerabilities found in %d of %s; nobody could look up the others", c.Matched(), c)
	}
	return fmt.Sprintf("no vulnerabilities found in %s", c)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// days is an age in whole days, or exactly when it is shorter than two.
func days(d time.Duration) string {
	const hours = 24
	if d < 2*hours*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours())/hours)
}
