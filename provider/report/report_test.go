package report_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

func vulnerability(id string, s report.Severity, fixed string) report.Vulnerability {
	return report.Vulnerability{ID: id, Package: "pkg", Installed: "1.0", Fixed: fixed, Severity: s}
}

func scanOf(v ...report.Vulnerability) *report.Scan {
	report.Arrange(v)
	return &report.Scan{Scanner: "Test 1", Vulnerabilities: v}
}

func TestUnlistedIsNotClean(t *testing.T) {
	for _, view := range []report.View{report.ViewSummary, report.ViewFindings, report.ViewFull} {
		r, err := report.Render(report.ScanReport{Status: report.Accepted}, &report.Scan{Unlisted: true, Judgement: report.JudgementPass}, view, 1<<20)
		if err != nil || r.Summary != nil || r.Vulnerabilities != nil {
			t.Errorf("%s of a scan without a list: %+v, %v", view, r, err)
		}
	}
}

func TestFindingsAreCalledByTheirCVE(t *testing.T) {
	for want, v := range map[string]report.Vulnerability{
		"CVE-2022-32149 GHSA-69ch-w2m2-3vjp GO-2022-1059": {ID: "GHSA-69ch-w2m2-3vjp", Aliases: []string{"GO-2022-1059", "CVE-2022-32149"}},
		"GHSA-x GO-1":          {ID: "GO-1", Aliases: []string{"GHSA-x"}},
		"GO-2 GHSA-a GHSA-b":   {ID: "GO-2", Aliases: []string{"GHSA-a", "GHSA-b"}},
		"CVE-1 CVE-2":          {ID: "CVE-1", Aliases: []string{"CVE-2"}},
		"ELSA-1 CVE-1 CVE-2":   {ID: "ELSA-1", Aliases: []string{"CVE-1", "CVE-2"}},
		"GHSA-two CVE-1 CVE-2": {ID: "GHSA-two", Aliases: []string{"CVE-1", "CVE-2"}},
		"CVE-3 GHSA-y":         {ID: "GHSA-y", Aliases: []string{"CVE-3", "cve-3"}},
		"cve-4 GHSA-z":         {ID: "cve-4", Aliases: []string{"GHSA-z"}},
		"GHSA-kept GO-1":       {ID: "GHSA-kept", Aliases: []string{"GO-1"}},
		"DLA-1":                {ID: "DLA-1"},
		" CVE-5":               {Aliases: []string{"CVE-5"}},
	} {
		before := slices.Clone(v.Aliases)
		named := v
		named.Identify()
		if got := strings.Join(append([]string{named.ID}, named.Aliases...), " "); got != want {
			t.Errorf("%+v is called %s, with %s, want %s", v, named.ID, named.Aliases, want)
		}
		if !slices.Equal(v.Aliases, before) {
			t.Errorf("the aliases of a copy became %s", v.Aliases)
		}
	}
}

// A Pod's author who reads a message finds the same identifier in the list, and
// whoever writes an exception may take either.
func TestOneIdentifierInEveryPartOfAReport(t *testing.T) {
	scan := scanOf(
		report.Vulnerability{ID: "GHSA-69ch-w2m2-3vjp", Aliases: []string{"CVE-2022-32149"}, Package: "golang.org/x/text", Installed: "v0.3.5", Severity: report.SeverityHigh},
		report.Vulnerability{ID: "GHSA-0", Aliases: []string{"CVE-2021-1"}, Package: "a", Installed: "1", Severity: report.SeverityHigh, Suppressed: "VEX not_affected"},
	)
	r, err := report.Render(report.ScanReport{Status: report.Rejected}, scan, report.ViewFindings, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if r.Vulnerabilities[0].ID != "CVE-2022-32149" || r.Vulnerabilities[1].ID != "CVE-2021-1" {
		t.Errorf("listed are %+v", r.Vulnerabilities)
	}
	if s := r.Summary; s.Worst[0].ID != "CVE-2022-32149" || s.SuppressedBy[0].ID != "CVE-2021-1" {
		t.Errorf("summed up are %+v", s)
	}
}

func TestSortPutsTheWorstFirst(t *testing.T) {
	v := []report.Vulnerability{
		vulnerability("B", report.SeverityLow, "1"),
		vulnerability("D", report.SeverityCritical, ""),
		vulnerability("C", report.SeverityCritical, "1"),
		vulnerability("A", report.SeverityCritical, "1"),
	}
	report.Arrange(v)
	var got string
	for _, x := range v {
		got += x.ID
	}
	if got != "CADB" {
		t.Errorf("order %s, want CADB", got)
	}
	// The message that names one of them names the fix that mends both.
	v = []report.Vulnerability{
		vulnerability("CVE-2021-38561", report.SeverityHigh, "0.3.7"),
		vulnerability("CVE-2022-9999", report.SeverityHigh, "0.3.7"),
		vulnerability("CVE-2022-32149", report.SeverityHigh, "0.3.8"),
	}
	report.Arrange(v)
	if v[0].ID != "CVE-2022-32149" || v[1].ID != "CVE-2022-9999" {
		t.Errorf("ordered %+v", v)
	}
}

func TestReportJSON(t *testing.T) {
	scan := scanOf(vulnerability("CVE-1", report.SeverityHigh, "1.1"))
	scan.ScannedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	scan.Inner = json.RawMessage(`{"detail":{"a":1}}`)
	r, err := report.Render(report.ScanReport{ImageAndTag: "nginx:1", Status: report.Rejected, Digest: "sha256:x", Message: "m"}, scan, report.ViewFull, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ImageAndTag":"nginx:1","Status":"rejected","Digest":"sha256:x","Message":"m",` +
		`"Summary":{"Total":1,"Counts":{"Critical":0,"High":1,"Medium":0,"Low":0,"Negligible":0,"Unknown":0},` +
		`"Fixable":{"Critical":0,"High":1,"Medium":0,"Low":0,"Negligible":0,"Unknown":0},` +
		`"Worst":[{"ID":"CVE-1","Package":"pkg","Installed":"1.0","Fixed":"1.1","Severity":"High"}],"Omitted":0},` +
		`"Scanner":"Test 1","ScannedAt":"2026-01-02T03:04:05Z",` +
		`"Vulnerabilities":[{"ID":"CVE-1","Package":"pkg","Installed":"1.0","Fixed":"1.1","Severity":"High"}],` +
		`"InnerReport":{"detail":{"a":1}}}`
	if string(got) != want {
		t.Errorf("report is\n%s\nwant\n%s", got, want)
	}
	var back report.ScanReport
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if back.Summary.Counts.Of(report.SeverityHigh) != 1 {
		t.Errorf("counts are lost on the way back: %+v", back.Summary)
	}
}

// manyFindings is a scan with n findings whose strings are as long and as hard
// to encode as an image's author could make them.
func manyFindings(n int, s string) *report.Scan {
	scan := &report.Scan{Scanner: s}
	for i := range n {
		scan.Vulnerabilities = append(scan.Vulnerabilities, report.Vulnerability{
			ID: fmt.Sprintf("%d%s", i, s), Package: s, Installed: s, Fixed: s, Severity: report.SeverityCritical, Description: s,
		})
	}
	return scan
}

func FuzzSummaryStaysSmall(f *testing.F) {
	f.Add("<>&", 10)
	f.Add("\x00\x1b[31m", 1000)
	f.Add("漢", 300)
	f.Add("<", 9)
	f.Add("<", 0)
	f.Add("\xff\xfe", 5)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 1000 || len(s) > 100 {
			t.Skip()
		}
		scan := manyFindings(n, strings.Repeat(s, 20))
		for i := range n / 2 {
			scan.Vulnerabilities[i].Suppressed = strings.Repeat(s, 20) + "x"
		}
		scan.Coverage = &report.Coverage{Distribution: strings.Repeat(s, 20), Packages: n, Gap: strings.Repeat(s, 20)}
		message := strings.Repeat(s, 1000)
		r, err := report.Render(report.ScanReport{ImageAndTag: strings.Repeat("a", 700), Status: report.Rejected, Message: message}, scan, report.ViewSummary, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > report.MaxSummaryBytes {
			t.Errorf("summary of %d findings takes %d bytes", n, len(b))
		}
		if left := n - n/2; r.Summary.Total != left || r.Summary.Omitted+len(r.Summary.Worst) != left || r.Summary.Suppressed != n/2 {
			t.Errorf("summary of %d findings counts %d, shows %d, omits %d, suppresses %d",
				n, r.Summary.Total, len(r.Summary.Worst), r.Summary.Omitted, r.Summary.Suppressed)
		}
	})
}

func TestSuppressedFindingsAreNamedAndNotCounted(t *testing.T) {
	var v []report.Vulnerability
	for _, id := range []string{"A", "B", "C", "D"} {
		x := vulnerability("CVE-"+id, report.SeverityCritical, "1.1")
		x.Suppressed = "exception until 2026-12-01: " + id
		v = append(v, x)
	}
	v = append(v, vulnerability("CVE-Z", report.SeverityLow, ""))
	got, err := json.Marshal(report.Summarize(v))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Total":1,"Counts":{"Critical":0,"High":0,"Medium":0,"Low":1,"Negligible":0,"Unknown":0},` +
		`"Fixable":{"Critical":0,"High":0,"Medium":0,"Low":0,"Negligible":0,"Unknown":0},` +
		`"Worst":[{"ID":"CVE-Z","Package":"pkg","Installed":"1.0","Severity":"Low"}],"Omitted":0,"Suppressed":4,` +
		`"SuppressedBy":[{"ID":"CVE-A","Package":"pkg","By":"exception until 2026-12-01: A"},` +
		`{"ID":"CVE-B","Package":"pkg","By":"exception until 2026-12-01: B"},` +
		`{"ID":"CVE-C","Package":"pkg","By":"exception until 2026-12-01: C"}]}`
	if string(got) != want {
		t.Errorf("summary is\n%s\nwant\n%s", got, want)
	}
}

func TestLargeReportsAreCutAndSaySo(t *testing.T) {
	scan := manyFindings(1000, strings.Repeat("x", 200))
	scan.Inner = json.RawMessage(`"` + strings.Repeat("y", 50_000) + `"`)
	for _, tc := range []struct {
		name         string
		view         report.View
		limit        int
		findings     int // -1: fewer than all
		inner, cut   bool
		messageHolds string
	}{
		{name: "all fits", view: report.ViewFull, limit: 4 << 20, findings: 1000, inner: true},
		{name: "findings only", view: report.ViewFindings, limit: 4 << 20, findings: 1000},
		{name: "no room for the inner report", view: report.ViewFull, limit: 1_120_000, findings: 1000, cut: true, messageHolds: "left out"},
		{name: "no room for all findings", view: report.ViewFull, limit: 100_000, findings: -1, cut: true, messageHolds: "of 1000 findings"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := report.Render(report.ScanReport{ImageAndTag: "a", Status: report.Rejected, Message: "m"}, scan, tc.view, tc.limit)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(r.Vulnerabilities); tc.findings >= 0 && n != tc.findings || tc.findings < 0 && (n == 0 || n >= 1000) {
				t.Errorf("%d findings", n)
			}
			if (len(r.InnerReport) > 0) != tc.inner || r.Truncated != tc.cut {
				t.Errorf("inner report of %d bytes, truncated %t", len(r.InnerReport), r.Truncated)
			}
			if !strings.Contains(r.Message, tc.messageHolds) {
				t.Errorf("message %q lacks %q", r.Message, tc.messageHolds)
			}
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > tc.limit {
				t.Errorf("%d bytes, limit %d", len(b), tc.limit)
			}
		})
	}
}

func TestSeverities(t *testing.T) {
	for _, s := range report.Severities() {
		got, err := report.ParseSeverity(strings.ToUpper(s.String()))
		if err != nil || got != s {
			t.Errorf("ParseSeverity(%s) = %v, %v", s, got, err)
		}
	}
	if _, err := report.ParseSeverity("awful"); err == nil {
		t.Error("an unknown severity parses")
	}
}

func TestSeverityWords(t *testing.T) {
	for word, want := range map[string]report.Severity{
		"CRITICAL": report.SeverityCritical, "Important": report.SeverityHigh, "moderate": report.SeverityMedium,
		"Minimal": report.SeverityNegligible, "info": report.SeverityNegligible, "None": report.SeverityUnknown, "unknown": report.SeverityUnknown,
	} {
		if got, ok := report.SeverityOf(word); !ok || got != want {
			t.Errorf("%q is %s, %t, want %s", word, got, ok, want)
		}
	}
	for _, word := range []string{"", "catastrophic", "high ", "9.8"} {
		if got, ok := report.SeverityOf(word); ok {
			t.Errorf("%q is %s", word, got)
		}
	}
}

func TestOnlyVerdictsAreFinal(t *testing.T) {
	for s, want := range map[report.Status]bool{
		report.Accepted: true, report.Rejected: true, report.ScanFailed: false, report.NotAvailable: false, "": false,
	} {
		if s.Final() != want {
			t.Errorf("%q final: %t", s, !want)
		}
	}
}
