package harbor_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/report"
)

// of is the report of a scanner that says this of one finding and of its data.
func of(t *testing.T, vendor, more string) *report.Scan {
	t.Helper()
	a := newAdapter(t, backendtest.Script{})
	image := backendtest.Image(0)
	a.script.Body = fmt.Appendf(nil, `{"generated_at": "2026-11-23T12:00:00Z", "artifact": {"digest": %q}, "scanner": {"name": "Grype"}, "severity": "High",
		"vulnerabilities": [{"id": "CVE-1", "package": "a", "version": "1", "fix_version": "2", "severity": "High", "vendor_attributes": %s}] %s}`, image.Digest, vendor, more)
	got, err := client(t, a.URL).Scan(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRiskOfTheBundledWorkerIsRead(t *testing.T) {
	got := of(t, `{
		"aliases": ["GHSA-1"],
		"known_exploited": {"cves": ["CVE-1"], "date_added": "2026-11-02", "due_date": "2026-11-23", "ransomware": true},
		"epss": {"cve": "CVE-1", "probability": 0.25, "percentile": 0.75, "date": "2026-11-22"},
		"risk": 82.5,
		"fix_available": "2026-11-01T00:00:00Z"}`,
		`, "risk_data": {"known_exploited": {"as_of": "2026-11-22T00:00:00Z"}, "epss": {"missing": "it could not be read"}}`)
	want := report.Vulnerability{
		ID: "CVE-1", Aliases: []string{"GHSA-1"}, Package: "a", Installed: "1", Fixed: "2", Severity: report.SeverityHigh,
		KnownExploited: &report.KnownExploited{Added: "2026-11-02", Due: "2026-11-23", Ransomware: true},
		EPSS:           &report.EPSS{Probability: 0.25, Percentile: 0.75, Date: "2026-11-22"},
		Risk:           new(float64(82.5)),
		FixAvailable:   time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	}
	if !reflect.DeepEqual(got.Vulnerabilities[0], want) {
		t.Errorf("%+v, want %+v", got.Vulnerabilities[0], want)
	}
	data := report.RiskData{
		KnownExploited: report.RiskSource{AsOf: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)},
		EPSS:           report.RiskSource{Missing: "it could not be read"},
	}
	if got.RiskData == nil || !reflect.DeepEqual(*got.RiskData, data) {
		t.Errorf("%+v, want %+v", got.RiskData, data)
	}
}

// What cannot be read never makes a finding milder, and never takes what can with it.
func TestRiskThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		vendor    string
		exploited bool
	}{
		"nothing":            {`{}`, false},
		"no entry":           {`{"known_exploited": null}`, false},
		"no entry, said":     {`{"known_exploited": false}`, false},
		"an entry, no more":  {`{"known_exploited": true}`, true},
		"an empty entry":     {`{"known_exploited": {}}`, true},
		"days of some kind":  {`{"known_exploited": {"date_added": 20261102}}`, true},
		"a strange score":    {`{"known_exploited": {"date_added": "2026-11-02"}, "epss": "high", "risk": {"a": 1}, "fix_available": 7}`, true},
		"a half score":       {`{"epss": {"percentile": 0.97}}`, false},
		"a score of percent": {`{"epss": {"probability": 97, "percentile": 99}, "risk": 1e9}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := of(t, c.vendor, "").Vulnerabilities[0]
			if (v.KnownExploited != nil) != c.exploited || v.EPSS != nil || v.Risk != nil || !v.FixAvailable.IsZero() {
				t.Errorf("%+v", v)
			}
		})
	}
	for name, data := range map[string]string{
		"none":           ``,
		"null":           `, "risk_data": null`,
		"something else": `, "risk_data": ["kev"]`,
		"no day":         `, "risk_data": {"known_exploited": {"as_of": "yesterday"}}`,
		"empty":          `, "risk_data": {}`,
	} {
		t.Run(name, func(t *testing.T) {
			if why, ok := of(t, `{}`, data).KnowsExploited(); ok || why == "" {
				t.Errorf("%q %v", why, ok)
			}
		})
	}
}
