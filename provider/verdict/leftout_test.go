package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// TestAScannerThatLeavesOutWhatCounts: its clean report says nothing of that.
func TestAScannerThatLeavesOutWhatCounts(t *testing.T) {
	only := func(s ...report.Severity) *report.LeftOut { return &report.LeftOut{Severities: s} }
	for name, tc := range map[string]struct {
		left *report.LeftOut
		o    verdict.Options
		want string // in the message of scan_failed; empty: accepted
	}{
		"nothing":                   {nil, verdict.Options{Threshold: report.SeverityHigh}, ""},
		"below the threshold":       {only(report.SeverityLow, report.SeverityUnknown), verdict.Options{Threshold: report.SeverityMedium}, ""},
		"at the threshold":          {only(report.SeverityHigh), verdict.Options{Threshold: report.SeverityHigh}, "severity High, which count here (verdict.severityThreshold)"},
		"above the threshold":       {only(report.SeverityCritical), verdict.Options{Threshold: report.SeverityHigh}, "severity Critical"},
		"what has no fix":           {&report.LeftOut{Unfixed: true}, verdict.Options{Threshold: report.SeverityHigh}, "no fix yet, which counts here (verdict.onlyFixed)"},
		"what has no fix, nor must": {&report.LeftOut{Unfixed: true}, verdict.Options{Threshold: report.SeverityHigh, OnlyFixed: true}, ""},
		"kinds of packages":         {&report.LeftOut{Packages: "packages of languages"}, verdict.Options{Threshold: report.SeverityHigh}, "not to look up packages of languages (verdict.unmatchedPackages)"},
		"kinds that need not be":    {&report.LeftOut{Packages: "packages of languages"}, verdict.Options{Threshold: report.SeverityHigh, UnmatchedPackages: verdict.Accept}, ""},
	} {
		judge, err := verdict.New(tc.o)
		if err != nil {
			t.Fatal(err)
		}
		scan := &report.Scan{Scanner: "Trivy", ScannedAt: time.Now(), Coverage: &report.Coverage{Distribution: "debian 12", Packages: 3}, LeftOut: tc.left}
		got := judge.Judge(scan, verdict.Subject{Reference: "r.example/app:1"})
		want := report.Accepted
		if tc.want != "" {
			want = report.ScanFailed
		}
		if got.Status != want || !strings.Contains(got.Message, tc.want) {
			t.Errorf("%s: %s, %s", name, got.Status, got.Message)
		}
		// A finding keeps the image out whatever else is left out.
		scan.Vulnerabilities = []report.Vulnerability{{ID: "CVE-1", Package: "p", Installed: "1", Fixed: "2", Severity: report.SeverityCritical}}
		if got := judge.Judge(scan, verdict.Subject{Reference: "r.example/app:1"}); got.Status != report.Rejected {
			t.Errorf("%s: with a finding %s, %s", name, got.Status, got.Message)
		}
	}
}
