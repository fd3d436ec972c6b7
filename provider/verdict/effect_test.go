package verdict_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// An image is kept out exactly when one of its findings is said to do so, and until the
// moment that is told the verdict stays what it is. Both over random scans and settings.
func TestEffectsAndUntilAgreeWithTheVerdict(t *testing.T) {
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	rnd := rand.New(rand.NewPCG(1, 2))
	days := func(n int) time.Time {
		if rnd.IntN(3) == 0 {
			return time.Time{}
		}
		return start.Add(time.Duration(rnd.IntN(2*n)-n) * 7 * time.Hour)
	}
	yes := func() bool { return rnd.IntN(2) == 0 }
	path := filepath.Join(t.TempDir(), "exceptions.yaml")
	var rejections, changes int
	for range 400 {
		clock := start
		text := "- {cve: CVE-1, images: ['*'], expires: '" + start.Add(time.Duration(rnd.IntN(100)-20)*time.Hour).Format(time.RFC3339) + "', reason: r, minFixAge: 1d}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := verdict.Options{Threshold: report.Severities()[rnd.IntN(6)], OnlyFixed: yes(), Now: func() time.Time { return clock }, ExceptionsFile: path}
		if yes() {
			o.MinCVEAge = 48 * time.Hour
		}
		if yes() {
			o.MinFixAge = 24 * time.Hour
		}
		if yes() {
			o.MaxDatabaseAge = 72 * time.Hour
		}
		if yes() {
			o.KEV = verdict.KEVDeny
		}
		j, err := verdict.New(o)
		if err != nil {
			t.Fatal(err)
		}
		scan := &report.Scan{
			Scanner: "s", DatabaseBuiltAt: days(10), RiskData: &report.RiskData{KnownExploited: report.RiskSource{AsOf: start}},
			Coverage: &report.Coverage{Packages: 1, EndOfLife: days(10)},
		}
		for range rnd.IntN(4) {
			v := report.Vulnerability{ID: []string{"CVE-1", "CVE-2"}[rnd.IntN(2)], Package: "p", Severity: report.Severity(rnd.IntN(6)), Published: days(20), FixAvailable: days(20)}
			if yes() {
				v.Fixed = "2"
			}
			if rnd.IntN(4) == 0 {
				v.KnownExploited = &report.KnownExploited{}
			}
			scan.Vulnerabilities = append(scan.Vulnerabilities, v)
		}
		report.Arrange(scan.Vulnerabilities)
		for range 12 {
			now := j.Judge(scan, verdict.Subject{Reference: "a"})
			kept := false
			for i := range now.Scan.Vulnerabilities {
				kept = kept || j.Effect(&now.Scan.Vulnerabilities[i]) == verdict.Rejects
			}
			if kept != (now.Status == report.Rejected) {
				t.Fatalf("%s: %s, and its findings say %t", now.Status, now.Message, kept)
			}
			if kept {
				rejections++
			}
			until := j.Until(scan)
			if !until.IsZero() && !until.After(clock) {
				t.Fatalf("until %s, and it is %s", until, clock)
			}
			clock = clock.Add(time.Duration(1+rnd.IntN(20*60)) * time.Minute)
			if then := j.Judge(scan, verdict.Subject{Reference: "a"}); then.Status != now.Status {
				changes++
				if until.IsZero() || until.After(clock) {
					t.Fatalf("%s became %s by %s, and was to stay until %s", now.Message, then.Message, clock, until)
				}
			}
		}
	}
	if rejections < 100 || changes < 50 {
		t.Errorf("%d rejections and %d changes were seen: too few to say anything", rejections, changes)
	}
}

func TestRulesAndExceptionsAreTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "exceptions.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("- {cve: CVE-2, images: [nginx], expires: 2027-06-01, reason: later, namespaces: [shop], packages: [p], kev: deny}\n" +
		"- {cve: CVE-1, images: ['*'], expires: 2026-11-30, reason: soon}\n- {cve: CVE-3, images: ['*'], expires: 2020-01-01, reason: over}\n")
	j, err := verdict.New(verdict.Options{
		Threshold: report.SeverityHigh, OnlyFixed: true, KEV: verdict.KEVDeny, ExceptionsFile: path,
		Now: func() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var settings []string
	for _, r := range j.Rules() {
		if r.Value == "" || r.Meaning == "" {
			t.Errorf("%+v says nothing", r)
		}
		settings = append(settings, r.Setting)
	}
	if len(settings) != 6 || settings[0] != "verdict.severityThreshold" || settings[1] != "verdict.onlyFixed" || settings[2] != "verdict.kev" {
		t.Errorf("rules %q", settings)
	}
	got := j.Exceptions()
	if len(got) != 3 || got[0].CVE != "CVE-3" || got[0].State != verdict.Expired || got[1].State != verdict.Expiring || got[2].State != verdict.Active {
		t.Fatalf("%+v", got)
	}
	if e := got[2]; !e.KEVDeny || e.Namespaces[0] != "shop" || e.Packages[0] != "p" || e.Images[0] != "index.docker.io/library/nginx" || e.Until != "2027-06-01" || e.By != "exception until 2027-06-01: later" {
		t.Errorf("%+v", e)
	}
	before := j.Generation()
	write("[]\n")
	if err := j.Reload(); err != nil || j.Generation() == before || len(j.Exceptions()) != 0 {
		t.Errorf("after a change: %v, generation %d as before", err, before)
	}
}
