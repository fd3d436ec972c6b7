package report_test

import (
	"reflect"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

func TestUpgradesSayWhatMendsMostFirst(t *testing.T) {
	f := func(id, pkg, fixed string, s report.Severity) report.Vulnerability {
		return report.Vulnerability{ID: id, Package: pkg, Installed: "1.0", Fixed: fixed, Severity: s}
	}
	exploited := f("CVE-6", "curl", "", report.SeverityLow)
	exploited.KnownExploited = &report.KnownExploited{}
	got := report.Upgrades([]report.Vulnerability{
		f("CVE-1", "zlib", "", report.SeverityCritical),
		f("CVE-2", "openssl", "1.9", report.SeverityCritical),
		f("CVE-3", "openssl", "1.10", report.SeverityLow),
		f("CVE-4", "openssl", "", report.SeverityHigh),
		f("CVE-5", "bash", "1.1", report.SeverityHigh),
		exploited,
	})
	want := []report.Upgrade{
		{Package: "curl", Installed: "1.0", Worst: report.SeverityLow, Exploited: true, Findings: []string{"CVE-6"}},
		{Package: "openssl", Installed: "1.0", To: "1.10", Worst: report.SeverityCritical, Findings: []string{"CVE-2", "CVE-3"}},
		{Package: "zlib", Installed: "1.0", Worst: report.SeverityCritical, Findings: []string{"CVE-1"}},
		{Package: "bash", Installed: "1.0", To: "1.1", Worst: report.SeverityHigh, Findings: []string{"CVE-5"}},
		{Package: "openssl", Installed: "1.0", Worst: report.SeverityHigh, Findings: []string{"CVE-4"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := report.Upgrades(nil); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
}
