package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/report"
)

func TestTheTableSaysWhatWasLookedAt(t *testing.T) {
	for name, tc := range map[string]struct {
		summary *report.Summary
		want    string // empty: no such line
	}{
		"no scan":       {nil, ""},
		"not known":     {&report.Summary{}, "not known"},
		"all of it":     {&report.Summary{Coverage: &report.Coverage{Distribution: "debian 12.5", Packages: 87}}, "87 packages of debian 12.5"},
		"nothing":       {&report.Summary{Coverage: &report.Coverage{}}, "0 packages, no distribution recognised"},
		"not all of it": {&report.Summary{Coverage: &report.Coverage{Distribution: "debian trixie/sid", Packages: 412, Unmatched: 400, Gap: "one target"}}, "412 packages of debian trixie/sid, of which 400 could not be looked up; one target"},
		"past its end": {&report.Summary{Coverage: &report.Coverage{Distribution: "debian 8", Packages: 90, EndOfLife: time.Date(2020, 6, 30, 0, 0, 0, 0, time.UTC)}},
			"90 packages of debian 8, end of life 2020-06-30"},
	} {
		t.Run(name, func(t *testing.T) {
			var table, object bytes.Buffer
			r := report.ScanReport{ImageAndTag: "a", Status: report.ScanFailed, Summary: tc.summary}
			if err := printReport(&table, r, "table"); err != nil {
				t.Fatal(err)
			}
			var line string
			for l := range strings.Lines(table.String()) {
				if rest, ok := strings.CutPrefix(l, "Covered:"); ok {
					line = strings.TrimSpace(rest)
				}
			}
			if line != tc.want {
				t.Errorf("it says %q, want %q", line, tc.want)
			}
			if err := printReport(&object, r, "json"); err != nil {
				t.Fatal(err)
			}
			var back report.ScanReport
			if err := json.Unmarshal(object.Bytes(), &back); err != nil {
				t.Fatal(err)
			}
			if tc.summary != nil && tc.summary.Coverage != nil && *back.Summary.Coverage != *tc.summary.Coverage {
				t.Errorf("JSON says %+v", back.Summary.Coverage)
			}
		})
	}
}

// A report on the sample database says so in the table too.
func TestTheTableSaysWhatTheSampleIs(t *testing.T) {
	for scanner, want := range map[string]bool{"Grype 1 with the " + report.SampleDatabase: true, "Grype 1": false} {
		var table bytes.Buffer
		if err := printReport(&table, report.ScanReport{Status: report.Accepted, Scanner: scanner}, "table"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(table.String(), "Warning:  the SAMPLE database"); got != want {
			t.Errorf("%s: %s", scanner, table.String())
		}
	}
}

// A command uses what docker login keeps, and says which flag names another file.
func TestDockerLoginIsUsed(t *testing.T) {
	home, other := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	env := map[string]string{}
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	use := func(given string) string {
		t.Helper()
		c := config.Default()
		c.Registry.DockerConfig = given
		if advice := login(&c, lookup); !strings.Contains(advice, "--docker-config") || !strings.Contains(advice, c.Registry.DockerConfig) {
			t.Errorf("it says %q of %q", advice, c.Registry.DockerConfig)
		}
		return c.Registry.DockerConfig
	}
	if got := use(""); got != "" {
		t.Errorf("there is none, and %s is used", got)
	}
	for _, file := range []string{filepath.Join(home, ".docker", "config.json"), filepath.Join(other, "config.json")} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := use(""); got != filepath.Join(home, ".docker", "config.json") {
		t.Error(got)
	}
	env["DOCKER_CONFIG"] = other
	if got := use(""); got != filepath.Join(other, "config.json") {
		t.Error(got)
	}
	if got := use("given.json"); got != "given.json" {
		t.Error(got)
	}
}

func TestTheTableSaysWhatIsExploited(t *testing.T) {
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	found := []report.Vulnerability{
		{ID: "CVE-1", Package: "a", Installed: "1", Severity: report.SeverityHigh, EPSS: &report.EPSS{Probability: 0.0125, Percentile: 0.79}, Risk: new(float64(1.25))},
		{ID: "CVE-2", Package: "b", Installed: "1", Fixed: "2", Severity: report.SeverityHigh},
		{ID: "CVE-3", Package: "c", Installed: "1", Severity: report.SeverityLow, KnownExploited: &report.KnownExploited{Added: "2026-11-02", Ransomware: true}, Risk: new(float64(33))},
	}
	for name, c := range map[string]struct {
		risk *report.RiskSummary
		want []string
	}{
		"known": {&report.RiskSummary{KnownExploitedAsOf: at, EPSSAsOf: at}, []string{
			"Risk data:|known exploited vulnerabilities of 2026-11-26; EPSS of 2026-11-26",
			"SEVERITY|ID|PACKAGE|INSTALLED|FIXED|EXPLOITED|EPSS|RISK",
			"Low|CVE-3|c|1|-|2026-11-02 ransomware|?|33.0",
			"High|CVE-1|a|1|-|-|1.25% (percentile 79)|1.2",
			"High|CVE-2|b|1|2|-|?|?",
		}},
		"not known": {&report.RiskSummary{Missing: []string{"known exploited vulnerabilities: it could not be read"}, EPSSAsOf: at}, []string{
			"Risk data:|EPSS of 2026-11-26; without known exploited vulnerabilities: it could not be read",
			"High|CVE-2|b|1|2|?|?|?",
		}},
		"not told": {nil, []string{"SEVERITY|ID|PACKAGE|INSTALLED|FIXED", "High|CVE-2|b|1|2"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			r := report.ScanReport{ImageAndTag: "a", Status: report.Rejected, Summary: &report.Summary{Risk: c.risk}, Vulnerabilities: found}
			if err := printReport(&out, r, "table"); err != nil {
				t.Fatal(err)
			}
			var got []string
			for l := range strings.Lines(out.String()) {
				got = append(got, strings.Join(regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(l), -1), "|"))
			}
			next := 0
			for _, l := range got {
				if next < len(c.want) && l == c.want[next] {
					next++
				}
			}
			if next < len(c.want) {
				t.Errorf("no %q in its order in\n%s", c.want[next], strings.Join(got, "\n"))
			}
		})
	}
}
