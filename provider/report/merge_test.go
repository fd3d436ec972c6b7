package report_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

func on(platform string, found ...report.Vulnerability) report.OnPlatform {
	return report.OnPlatform{Platform: platform, Scan: &report.Scan{Vulnerabilities: found}}
}

func merge(scans ...report.OnPlatform) []report.Vulnerability {
	return report.Merge(scans[0].Scan, scans, true).Vulnerabilities
}

func flaw(id string, severity report.Severity, fixed string) report.Vulnerability {
	return report.Vulnerability{ID: id, Package: "openssl", Installed: "3.0.1", Severity: severity, Fixed: fixed}
}

// Low on amd64 beside Critical on arm64 read Low.
func TestMergeTakesTheWorstSeverityOfAPlatform(t *testing.T) {
	for _, scans := range [][]report.OnPlatform{
		{on("linux/amd64", flaw("CVE-1", report.SeverityLow, "3.0.9")), on("linux/arm64", flaw("CVE-1", report.SeverityCritical, "3.0.10"))},
		{on("linux/amd64", flaw("CVE-1", report.SeverityCritical, "3.0.10")), on("linux/arm64", flaw("CVE-1", report.SeverityLow, "3.0.9"))},
	} {
		got := merge(scans...)
		if len(got) != 1 || got[0].Severity != report.SeverityCritical || got[0].Fixed != "3.0.9" {
			t.Errorf("merged to %+v, want one Critical fixed in 3.0.9", got)
		}
		if !slices.Equal(got[0].Platforms, []string{"linux/amd64", "linux/arm64"}) {
			t.Errorf("the platforms are %v", got[0].Platforms)
		}
		if f := report.Summarize(got).Worst[0]; !slices.Equal(f.Platforms, got[0].Platforms) {
			t.Errorf("the summary names %v", f.Platforms)
		}
	}
}

func TestMergeNamesThePlatformsOfEachFinding(t *testing.T) {
	both, one := flaw("CVE-2", report.SeverityHigh, ""), flaw("CVE-1", report.SeverityHigh, "")
	got := merge(on("linux/amd64", both), on("linux/arm64", both, one), on("linux/arm64", both), on("", both))
	if len(got) != 2 || strings.Join(got[0].Platforms, " ") != "linux/amd64 linux/arm64" || strings.Join(got[1].Platforms, " ") != "linux/arm64" {
		t.Errorf("merged to %+v", got)
	}
}

func TestMergeSuppressesOnlyWhatIsSuppressedEverywhere(t *testing.T) {
	counts, excused := flaw("CVE-1", report.SeverityMedium, "3.1"), flaw("CVE-1", report.SeverityCritical, "3.0")
	excused.Suppressed = "VEX not_affected"
	for _, scans := range [][]report.OnPlatform{{on("a/b", counts), on("c/d", excused)}, {on("c/d", excused), on("a/b", counts)}} {
		got := merge(scans...)
		if len(got) != 1 || got[0].Suppressed != "" || got[0].Severity != report.SeverityMedium || got[0].Fixed != "3.1" || !slices.Equal(got[0].Platforms, []string{"a/b"}) {
			t.Errorf("merged to %+v, want what counts on a/b", got)
		}
	}
	got := merge(on("a/b", excused), on("c/d", excused))
	if len(got) != 1 || got[0].Suppressed == "" || len(got[0].Platforms) != 2 {
		t.Errorf("merged to %+v, want it suppressed on both", got)
	}
}

func TestMergeKnowsAFlawByItsAliases(t *testing.T) {
	cve, ghsa := flaw("CVE-1", report.SeverityLow, ""), flaw("GHSA-1", report.SeverityHigh, "3.0.2")
	cve.Aliases, ghsa.Aliases = []string{"DSA-1"}, []string{"CVE-1"}
	ghsa.Published = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	got := merge(on("a/b", cve), on("c/d", ghsa))
	if len(got) != 1 || got[0].ID != "CVE-1" || got[0].Severity != report.SeverityHigh || got[0].Fixed != "3.0.2" || !slices.Equal(got[0].Aliases, []string{"GHSA-1", "DSA-1"}) {
		t.Errorf("merged to %+v", got)
	}
	// An advisory of several flaws is none of them.
	ghsa.Aliases = []string{"CVE-1", "CVE-2"}
	if got := merge(on("a/b", cve), on("c/d", ghsa)); len(got) != 2 {
		t.Errorf("merged to %+v", got)
	}
}

func TestMergeKeepsPackagesOfOneNameApart(t *testing.T) {
	npm, deb, deb2 := flaw("CVE-1", report.SeverityLow, "1"), flaw("CVE-1", report.SeverityHigh, "2"), flaw("CVE-1", report.SeverityHigh, "2")
	npm.PURL, deb.PURL, deb2.PURL = "pkg:npm/openssl@3.0.1", "pkg:deb/debian/openssl@3.0.1?arch=amd64", "pkg:deb/debian/openssl@3.0.1?arch=arm64"
	got := merge(on("a/b", npm, deb), on("c/d", deb2))
	if len(got) != 2 || got[0].Severity != report.SeverityHigh || len(got[0].Platforms) != 2 || got[1].Fixed != "1" {
		t.Errorf("merged to %+v", got)
	}
}

func TestMergeTakesTheLowestFix(t *testing.T) {
	for _, tc := range []struct{ a, b, want string }{
		{"", "1", "1"}, {"1", "", "1"}, {"", "", ""}, {"1.9", "1.10", "1.9"}, {"2", "10", "2"}, {"1.0", "1.0.1", "1.0"},
		{"1:1.0-3", "1:1.0-12", "1:1.0-3"}, {"v1.2.3", "v1.2.4", "v1.2.3"}, {"007", "8", "007"}, {"99999999999999999999999", "100000000000000000000000", "99999999999999999999999"},
		{"é1", "é2", "é1"},
	} {
		for _, got := range []string{
			merge(on("x", flaw("C", 1, tc.a)), on("y", flaw("C", 1, tc.b)))[0].Fixed,
			merge(on("x", flaw("C", 1, tc.b)), on("y", flaw("C", 1, tc.a)))[0].Fixed,
		} {
			if got != tc.want {
				t.Errorf("of %q and %q %q is the lowest, want %q", tc.a, tc.b, got, tc.want)
			}
		}
	}
}
