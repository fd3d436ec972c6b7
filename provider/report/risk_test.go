package report_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

var (
	kevDay  = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	epssDay = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
)

func riskData() *report.RiskData {
	return &report.RiskData{KnownExploited: report.RiskSource{AsOf: kevDay}, EPSS: report.RiskSource{AsOf: epssDay}}
}

func likely(id string, s report.Severity, probability, percentile float64) report.Vulnerability {
	v := vulnerability(id, s, "")
	v.EPSS = &report.EPSS{Probability: probability, Percentile: percentile, Date: "2026-11-27"}
	return v
}

func listed(id string, s report.Severity) report.Vulnerability {
	v := vulnerability(id, s, "")
	v.KnownExploited = &report.KnownExploited{Added: "2026-11-02"}
	return v
}

func summary(t *testing.T, scan *report.Scan) *report.Summary {
	t.Helper()
	r, err := report.Render(report.ScanReport{Status: report.Accepted}, scan, report.ViewSummary, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r.Summary
}

func TestSummaryOfRisk(t *testing.T) {
	set := listed("CVE-4", report.SeverityHigh)
	set.Suppressed = "exception until 2026-12-01: not reachable"
	scan := scanOf(likely("CVE-1", report.SeverityCritical, 0.02, 0.9), likely("CVE-2", report.SeverityLow, 0.4, 0.5), listed("CVE-3", report.SeverityLow), set)
	scan.RiskData = riskData()
	got := summary(t, scan).Risk
	if got == nil || got.KnownExploited == nil || *got.KnownExploited != 1 || !got.KnownExploitedAsOf.Equal(kevDay) || !got.EPSSAsOf.Equal(epssDay) || len(got.Missing) != 0 {
		t.Fatalf("%+v", got)
	}
	// The highest probability is not the highest percentile.
	if *got.MaxEPSS != (report.EPSS{Probability: 0.4, Percentile: 0.5, Date: "2026-11-27"}) {
		t.Errorf("%+v", got.MaxEPSS)
	}
}

// None, and nobody knows, are two things.
func TestUnknownRiskIsNotNone(t *testing.T) {
	scan := scanOf(vulnerability("CVE-1", report.SeverityLow, ""))
	if got := summary(t, scan).Risk; got != nil {
		t.Errorf("%+v of a scanner that says nothing", got)
	}
	scan.RiskData = riskData()
	if got := summary(t, scan).Risk; got.KnownExploited == nil || *got.KnownExploited != 0 || got.MaxEPSS != nil {
		t.Errorf("%+v", got)
	}
	for name, data := range map[string]report.RiskSource{"missing": {Missing: "it could not be read"}, "partly": {AsOf: kevDay, Missing: "it could not be read"}, "of no day": {}} {
		scan.RiskData = &report.RiskData{KnownExploited: data, EPSS: data}
		got := summary(t, scan).Risk
		if got.KnownExploited != nil || !got.KnownExploitedAsOf.IsZero() || !got.EPSSAsOf.IsZero() || len(got.Missing) != 2 {
			t.Errorf("%s: %+v", name, got)
		}
		if why, ok := scan.KnowsExploited(); ok || why == "" {
			t.Errorf("%s: %q %v", name, why, ok)
		}
	}
	// What is known of at least is told.
	scan = scanOf(listed("CVE-1", report.SeverityLow))
	scan.RiskData = &report.RiskData{KnownExploited: report.RiskSource{Missing: "x"}}
	if got := summary(t, scan).Risk; got.KnownExploited == nil || *got.KnownExploited != 1 {
		t.Errorf("%+v", got)
	}
	raw, err := json.Marshal(summary(t, scan).Risk)
	if err != nil || strings.Contains(string(raw), "AsOf") {
		t.Errorf("%s %v", raw, err)
	}
}

func TestSummaryOfRiskIsBounded(t *testing.T) {
	scan := scanOf()
	for range 50 {
		scan.Vulnerabilities = append(scan.Vulnerabilities, listed("CVE-"+strings.Repeat("9", 60), report.SeverityHigh))
	}
	long := strings.Repeat("\u2028<", 1000)
	scan.RiskData = &report.RiskData{KnownExploited: report.RiskSource{Missing: long}, EPSS: report.RiskSource{Missing: long}}
	r, err := report.Render(report.ScanReport{Status: report.Rejected, Message: strings.Repeat("<", 2000)}, scan, report.ViewSummary, 0)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := json.Marshal(r); err != nil || len(raw) > report.MaxSummaryBytes {
		t.Errorf("%d bytes %v", len(raw), err)
	}
}

func TestExploitedStandBeforeOthersOfTheirSeverity(t *testing.T) {
	fixed := vulnerability("CVE-9", report.SeverityHigh, "2.0")
	scan := scanOf(likely("CVE-8", report.SeverityHigh, 0.1, 0.2), likely("CVE-7", report.SeverityHigh, 0.3, 0.1), fixed, listed("CVE-6", report.SeverityHigh),
		vulnerability("CVE-5", report.SeverityCritical, ""), listed("CVE-4", report.SeverityLow))
	// The last is still of the least severity: who cuts the list relies on that.
	if got := ids(scan.Vulnerabilities); got != "CVE-5 CVE-6 CVE-9 CVE-7 CVE-8 CVE-4" {
		t.Error(got)
	}
	scan.Vulnerabilities[3].Risk, scan.Vulnerabilities[4].Risk = new(float64(1)), new(float64(30))
	if got := ids(report.ByRisk(scan.Vulnerabilities)); got != "CVE-6 CVE-4 CVE-5 CVE-8 CVE-7 CVE-9" {
		t.Error(got)
	}
}

func ids(v []report.Vulnerability) string {
	var out []string
	for _, f := range v {
		out = append(out, f.ID)
	}
	return strings.Join(out, " ")
}

// The worse of two platforms counts, and the date that gives the least grace.
func TestMergeOfRisk(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	a, b := flaw("CVE-1", report.SeverityHigh, "3.0.9"), flaw("CVE-1", report.SeverityHigh, "3.0.10")
	a.KnownExploited, a.Risk, a.FixAvailable = &report.KnownExploited{Added: "2026-11-03", Due: "2026-11-24"}, new(float64(80)), day(9)
	b.KnownExploited, b.Risk, b.FixAvailable = &report.KnownExploited{Added: "2026-11-02", Ransomware: true}, new(float64(90)), day(8)
	b.EPSS = &report.EPSS{Probability: 0.5}
	one, two := on("a/b", a), on("c/d", b)
	one.Scan.RiskData, two.Scan.RiskData = riskData(), &report.RiskData{KnownExploited: report.RiskSource{AsOf: kevDay.AddDate(0, 0, -1)}, EPSS: report.RiskSource{AsOf: epssDay, Missing: "x"}}
	for _, scans := range [][]report.OnPlatform{{one, two}, {two, one}} {
		m := report.Merge(scans[0].Scan, scans, true)
		v := m.Vulnerabilities[0]
		if *v.KnownExploited != (report.KnownExploited{Added: "2026-11-02", Due: "2026-11-24", Ransomware: true}) || *v.Risk != 90 || v.EPSS == nil || !v.FixAvailable.Equal(day(8)) {
			t.Errorf("%+v %+v", v, v.KnownExploited)
		}
		if d := m.RiskData; d == nil || !d.KnownExploited.AsOf.Equal(kevDay.AddDate(0, 0, -1)) || d.EPSS.Missing != "x" {
			t.Errorf("%+v", d)
		}
	}
	// Only one has the entry; only one has a fix; of one fix the date is not known.
	b.KnownExploited, b.Fixed = nil, ""
	if v := merge(on("a/b", a), on("c/d", b))[0]; v.KnownExploited == nil || !v.FixAvailable.Equal(day(9)) {
		t.Errorf("%+v", v)
	}
	b.Fixed, b.FixAvailable = "3.0.10", time.Time{}
	if v := merge(on("a/b", a), on("c/d", b))[0]; !v.FixAvailable.IsZero() {
		t.Errorf("%+v", v)
	}
	two.Scan.RiskData = nil
	if m := report.Merge(one.Scan, []report.OnPlatform{one, two}, true); m.RiskData != nil {
		t.Errorf("%+v, and one tells nothing", m.RiskData)
	}
	if m := report.Merge(one.Scan, []report.OnPlatform{one}, false); m.RiskData != nil {
		t.Errorf("%+v, and one is missing", m.RiskData)
	}
}

func TestBoundsOfRisk(t *testing.T) {
	v := listed("CVE-1", report.SeverityHigh)
	v.KnownExploited = &report.KnownExploited{Added: strings.Repeat("9", 5000), Due: "2026-11-24T10:00:00Z", Ransomware: true}
	v.EPSS, v.Risk = &report.EPSS{Probability: 97, Percentile: 0.5}, new(math.NaN())
	if err := v.Bound(); err != nil {
		t.Fatal(err)
	}
	if v.KnownExploited == nil || *v.KnownExploited != (report.KnownExploited{Due: "2026-11-24", Ransomware: true}) || v.EPSS != nil || v.Risk != nil {
		t.Errorf("%+v %+v", v, v.KnownExploited)
	}
	v.EPSS, v.Risk = &report.EPSS{Probability: 0.97, Percentile: 1, Date: "soon"}, new(float64(100))
	if err := v.Bound(); err != nil || *v.EPSS != (report.EPSS{Probability: 0.97, Percentile: 1}) || *v.Risk != 100 {
		t.Errorf("%+v %v", v.EPSS, err)
	}
}

func TestMessageNamesWhatIsExploited(t *testing.T) {
	if got := report.FindingOf(listed("CVE-1", report.SeverityHigh)).String(); got != "CVE-1 (High, known to be exploited) in pkg 1.0, no fix yet" {
		t.Error(got)
	}
}
