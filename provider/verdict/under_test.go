package verdict_test

import (
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// A Judge under a change judges as one that is configured so, and the one that it was
// made of as before.
func TestUnderAChange(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	j, err := verdict.New(verdict.Options{Threshold: report.SeverityHigh, MinFixAge: 7 * 24 * time.Hour, MaxDatabaseAge: 5 * 24 * time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	scan := &report.Scan{
		Scanner: "s", Subject: "sha256:a", ScannedAt: now, DatabaseBuiltAt: now.AddDate(0, 0, -4), Coverage: &report.Coverage{Packages: 1},
		Vulnerabilities: []report.Vulnerability{
			{ID: "CVE-1", Package: "p", Fixed: "2", Severity: report.SeverityHigh, FixAvailable: now.AddDate(0, 0, -2)},
			{ID: "CVE-2", Package: "q", Severity: report.SeverityMedium},
		},
	}
	medium, only, none := report.SeverityMedium, true, time.Duration(0)
	for name, tc := range map[string]struct {
		change verdict.Change
		want   report.Status
	}{
		"nothing":                {verdict.Change{}, report.Accepted},
		"a threshold":            {verdict.Change{Threshold: &medium}, report.Rejected},
		"and only what is fixed": {verdict.Change{Threshold: &medium, OnlyFixed: &only}, report.Accepted},
		"no grace":               {verdict.Change{MinFixAge: &none}, report.Rejected},
		"four days later":        {verdict.Change{Ahead: 4 * 24 * time.Hour}, report.Accepted}, // though the data is older then
		"six days later":         {verdict.Change{Ahead: 6 * 24 * time.Hour}, report.Rejected},
	} {
		under, err := j.Under(tc.change)
		if err != nil {
			t.Fatal(err)
		}
		if o := under.Judge(scan, verdict.Subject{Digest: "sha256:a", Manifest: "sha256:a"}); o.Status != tc.want {
			t.Errorf("%s: %+v", name, o)
		}
		if o := j.Judge(scan, verdict.Subject{Digest: "sha256:a", Manifest: "sha256:a"}); o.Status != report.Accepted {
			t.Errorf("after %s it judges otherwise itself: %+v", name, o)
		}
	}
	wrong := report.Severity(99)
	if _, err := j.Under(verdict.Change{Threshold: &wrong}); err == nil {
		t.Error("what is no severity is a threshold")
	}
}
