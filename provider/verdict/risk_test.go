package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// knowing returns a scan that knows which of its findings are exploited.
func knowing(v ...report.Vulnerability) *report.Scan {
	s := scanOf(v...)
	s.RiskData = &report.RiskData{KnownExploited: report.RiskSource{AsOf: today()}}
	return s
}

func exploited(id string, s report.Severity, fixed string) report.Vulnerability {
	v := finding(id, s, fixed)
	v.KnownExploited = &report.KnownExploited{Added: "2026-10-01"}
	return v
}

func TestWhatIsExploitedRejects(t *testing.T) {
	low, high := exploited("CVE-1", report.SeverityLow, ""), finding("CVE-2", report.SeverityHigh, "2.0")
	pass := judged(report.JudgementPass, low)
	pass.RiskData = knowing().RiskData
	fail := judged(report.JudgementFail, low, finding("CVE-3", report.SeverityHigh, ""))
	fail.RiskData = knowing().RiskData
	fresh := exploited("CVE-1", report.SeverityHigh, "2.0")
	fresh.Published, fresh.FixAvailable = today(), today()
	set := low
	set.Suppressed = "the scanner set it aside"
	deny := verdict.Options{Threshold: report.SeverityHigh, KEV: verdict.KEVDeny}
	with := func(change func(*verdict.Options)) verdict.Options {
		o := deny
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		options verdict.Options
		scan    *report.Scan
		want    report.Status
		words   string
	}{
		"by default it is one like others":       {verdict.Options{Threshold: report.SeverityHigh}, knowing(low), report.Accepted, ""},
		"reported":                               {verdict.Options{Threshold: report.SeverityHigh, KEV: verdict.KEVReport}, knowing(low), report.Accepted, ""},
		"below the threshold":                    {deny, knowing(low), report.Rejected, "CVE-1 (Low, known to be exploited) in pkg 1.0, no fix yet"},
		"without a fix where only fixed count":   {with(func(o *verdict.Options) { o.OnlyFixed = true }), knowing(low), report.Rejected, "CVE-1"},
		"within all grace":                       {with(func(o *verdict.Options) { o.MinCVEAge, o.MinFixAge = time.Hour, time.Hour }), knowing(fresh), report.Rejected, "CVE-1"},
		"before what is worse":                   {deny, knowing(high, low), report.Rejected, "CVE-1 (Low, known to be exploited) in pkg 1.0, no fix yet; and 1 more finding of severity High or worse or known to be exploited"},
		"where a scanner's policy accepts":       {deny, pass, report.Rejected, "CVE-1"},
		"where exceptions overrule a scanner":    {with(func(o *verdict.Options) { o.Loosen = true; o.ExceptionsFile = excepting("CVE-3") }), fail, report.Rejected, ""},
		"suppressed":                             {deny, knowing(set), report.Accepted, ""},
		"excepted":                               {with(func(o *verdict.Options) { o.ExceptionsFile = excepting("CVE-1") }), knowing(low), report.Accepted, "exception until"},
		"nothing is":                             {deny, knowing(finding("CVE-3", report.SeverityLow, "")), report.Accepted, "no finding of severity High or worse or known to be exploited"},
		"an exception that ends with it":         {with(func(o *verdict.Options) { o.ExceptionsFile = excepting("CVE-1, kev: deny") }), knowing(low), report.Rejected, "CVE-1"},
		"an exception of High that ends with it": {verdict.Options{Threshold: report.SeverityHigh, ExceptionsFile: excepting("CVE-2, kev: deny")}, scanOf(high), report.Rejected, "CVE-2"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := c.options.ExceptionsFile; e != "" {
				c.options.ExceptionsFile = write(t, "exceptions.yaml", e)
			}
			got := newJudge(t, c.options).Judge(c.scan, verdict.Subject{Reference: "x/a:1"})
			if got.Status != c.want || !strings.Contains(got.Message, c.words) {
				t.Errorf("%s %q, want %s %q", got.Status, got.Message, c.want, c.words)
			}
		})
	}
}

func excepting(cve string) string {
	return `[{cve: ` + cve + `, images: ["*"], expires: "2026-12-01", reason: not reachable}]`
}

// With the rule on, not to know is a failed scan whatever else is known, and never
// better than to know.
func TestUnknownExploitationIsAFailedScan(t *testing.T) {
	unknown := map[string]*report.RiskData{
		"nothing is said":   nil,
		"it is missing":     {KnownExploited: report.RiskSource{Missing: "it could not be read"}},
		"a part is missing": {KnownExploited: report.RiskSource{AsOf: today(), Missing: "it could not be read"}},
		"of no day":         {EPSS: report.RiskSource{AsOf: today()}},
	}
	for name, data := range unknown {
		for what, scan := range map[string]*report.Scan{
			"clean":    scanOf(),
			"low":      scanOf(finding("CVE-1", report.SeverityLow, "")),
			"accepted": judged(report.JudgementPass),
			"unlisted": {Scanner: "Test 1", Unlisted: true, Judgement: report.JudgementPass},
		} {
			scan.RiskData = data
			got := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, KEV: verdict.KEVDeny}).Judge(scan, verdict.Subject{})
			if got.Status != report.ScanFailed || !strings.Contains(got.Message, "(verdict.kev)") {
				t.Errorf("%s, %s: %s %q", name, what, got.Status, got.Message)
			}
			got = newJudge(t, verdict.Options{Threshold: report.SeverityHigh}).Judge(scan, verdict.Subject{})
			if got.Status != report.Accepted {
				t.Errorf("%s, %s: %s %q, and nobody asked", name, what, got.Status, got.Message)
			}
		}
		// What rejects, rejects.
		scan := scanOf(finding("CVE-1", report.SeverityHigh, ""), exploited("CVE-2", report.SeverityLow, ""))
		scan.RiskData = data
		if got := newJudge(t, verdict.Options{Threshold: report.SeverityCritical, KEV: verdict.KEVDeny}).Judge(scan, verdict.Subject{}); got.Status != report.Rejected {
			t.Errorf("%s: %s %q", name, got.Status, got.Message)
		}
	}
}

// A scanner that leaves out findings may leave out what is exploited.
func TestWhatIsLeftOutMayBeExploited(t *testing.T) {
	for name, left := range map[string]*report.LeftOut{"low ones": {Severities: []report.Severity{report.SeverityLow}}, "unfixed ones": {Unfixed: true}} {
		scan := knowing()
		scan.LeftOut = left
		o := verdict.Options{Threshold: report.SeverityHigh, OnlyFixed: true}
		if got := newJudge(t, o).Judge(scan, verdict.Subject{}); got.Status != report.Accepted {
			t.Errorf("%s: %s %q", name, got.Status, got.Message)
		}
		o.KEV = verdict.KEVDeny
		if got := newJudge(t, o).Judge(scan, verdict.Subject{}); got.Status != report.ScanFailed || !strings.Contains(got.Message, "(verdict.kev)") {
			t.Errorf("%s: %s %q", name, got.Status, got.Message)
		}
	}
}

func TestGrace(t *testing.T) {
	const day = 24 * time.Hour
	at := func(ago time.Duration) time.Time { return today().Add(-ago) }
	for name, c := range map[string]struct {
		published, fixed time.Time
		fix              string
		want             report.Status
	}{
		"old":                         {at(30 * day), at(20 * day), "2.0", report.Rejected},
		"published lately":            {at(day), at(20 * day), "2.0", report.Accepted},
		"published at the edge":       {at(3 * day), at(20 * day), "2.0", report.Rejected},
		"just before the edge":        {at(3*day - time.Second), at(20 * day), "2.0", report.Accepted},
		"fixed lately":                {at(30 * day), at(6 * day), "2.0", report.Accepted},
		"fixed at the edge":           {at(30 * day), at(7 * day), "2.0", report.Rejected},
		"a date of a fix, and no fix": {at(30 * day), at(day), "", report.Rejected},
		"nothing known":               {time.Time{}, time.Time{}, "2.0", report.Rejected},
		"published in the future":     {at(-time.Hour), time.Time{}, "2.0", report.Rejected},
		"fixed in the future":         {time.Time{}, at(-time.Hour), "2.0", report.Rejected},
		"by another clock":            {time.Time{}, at(-time.Minute), "2.0", report.Accepted},
	} {
		t.Run(name, func(t *testing.T) {
			v := finding("CVE-1", report.SeverityHigh, c.fix)
			v.Published, v.FixAvailable = c.published, c.fixed
			j := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, MinCVEAge: 3 * day, MinFixAge: 7 * day})
			got := j.Judge(scanOf(v), verdict.Subject{})
			if got.Status != c.want || got.Status == report.Accepted && !strings.Contains(got.Message, "1 too new to count") {
				t.Errorf("%s %q, want %s", got.Status, got.Message, c.want)
			}
			if got := newJudge(t, verdict.Options{Threshold: report.SeverityHigh}).Judge(scanOf(v), verdict.Subject{}); got.Status != report.Rejected {
				t.Errorf("%s %q without a grace", got.Status, got.Message)
			}
		})
	}
}

// EPSS warns: it changes from day to day, and decides nothing.
func TestEPSSDecidesNothing(t *testing.T) {
	for _, probability := range []float64{0, 0.5, 1} {
		v := finding("CVE-1", report.SeverityMedium, "2.0")
		v.EPSS, v.Risk = &report.EPSS{Probability: probability, Percentile: 1}, new(float64(100))
		if got := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, KEV: verdict.KEVDeny}).Judge(knowing(v), verdict.Subject{}); got.Status != report.Accepted {
			t.Errorf("%s %q", got.Status, got.Message)
		}
		v.Severity = report.SeverityHigh
		if got := newJudge(t, verdict.Options{Threshold: report.SeverityHigh}).Judge(knowing(v), verdict.Subject{}); got.Status != report.Rejected {
			t.Errorf("%s %q", got.Status, got.Message)
		}
	}
}

func TestOptionsOfRiskAreChecked(t *testing.T) {
	for want, o := range map[string]verdict.Options{
		`option KEV: "ignore" must be one of report, deny`: {KEV: "ignore"},
		"option MinCVEAge: -1s is negative":                {MinCVEAge: -time.Second},
		"option MinFixAge: -1s is negative":                {MinFixAge: -time.Second},
	} {
		if _, err := verdict.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
