package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

func covering(c *report.Coverage, v ...report.Vulnerability) *report.Scan {
	s := scanOf(v...)
	s.Coverage = c
	return s
}

// Nothing found says something only of what was looked at.
func TestWhatNobodyLookedAtIsNotClean(t *testing.T) {
	sid := &report.Coverage{Distribution: "debian trixie/sid", Packages: 412, Unmatched: 412}
	some := &report.Coverage{Distribution: "debian 12", Packages: 100, Unmatched: 3}
	homeless := &report.Coverage{Packages: 5, Unmatched: 5}
	ended := &report.Coverage{Distribution: "debian 8", Packages: 90, Gap: "a target could not be read"}
	old := &report.Coverage{Distribution: "debian 8", Packages: 90, EndOfLife: today().AddDate(-6, 0, 0)}
	maintained := &report.Coverage{Distribution: "debian 12", Packages: 90, EndOfLife: today().AddDate(0, 0, 1)}
	static := &report.Coverage{}
	bare := &report.Coverage{Distribution: "wolfi 20230201"}
	low, high := finding("CVE-L", report.SeverityLow, ""), finding("CVE-H", report.SeverityHigh, "")
	unmatched := verdict.Options{UnmatchedPackages: verdict.Accept}
	empty := verdict.Options{NoPackages: verdict.Accept}
	both := verdict.Options{UnmatchedPackages: verdict.Accept, NoPackages: verdict.Accept}
	for name, tc := range map[string]struct {
		options verdict.Options
		scan    *report.Scan
		want    expect
	}{
		"a distribution without records":           {scan: covering(sid), want: expect{report.ScanFailed, "412 of 412 packages could not be looked up: the scanner has no records of debian trixie/sid (verdict.unmatchedPackages)"}},
		"some packages without records":            {scan: covering(some), want: expect{report.ScanFailed, "3 of 100 packages could not be looked up: the scanner has no records of debian 12"}},
		"and harmless findings":                    {scan: covering(some, low), want: expect{report.ScanFailed, "3 of 100 packages"}},
		"and a finding that rejects":               {scan: covering(sid, high), want: expect{report.Rejected, "CVE-H (High)"}},
		"packages without a distribution":          {scan: covering(homeless), want: expect{report.ScanFailed, "5 of 5 packages could not be looked up: no distribution was recognised in the image"}},
		"what is missing without a number":         {scan: covering(ended), want: expect{report.ScanFailed, "not all of the image was looked up: a target could not be read (verdict.unmatchedPackages)"}},
		"a distribution past its end":              {scan: covering(old), want: expect{report.ScanFailed, "debian 8 is past its end of life since 2020-11-01: what is found in it is no longer kept up (verdict.endOfLife)"}},
		"past its end and a finding that rejects":  {scan: covering(old, high), want: expect{report.Rejected, "CVE-H (High)"}},
		"past its end, accepted":                   {options: verdict.Options{EndOfLife: verdict.Accept}, scan: covering(old), want: expect{report.Accepted, "no vulnerabilities found in 90 packages of debian 8"}},
		"a day before its end":                     {scan: covering(maintained), want: expect{report.Accepted, "no vulnerabilities found in 90 packages of debian 12"}},
		"some, accepted":                           {options: unmatched, scan: covering(some), want: expect{report.Accepted, "no vulnerabilities found in 97 of 100 packages of debian 12; nobody could look up the others"}},
		"some and harmless findings, accepted":     {options: unmatched, scan: covering(some, low), want: expect{report.Accepted, "no finding of severity High or worse (1 below); nobody could look up 3 of 100 packages of debian 12"}},
		"none could be looked up, accepted":        {options: unmatched, scan: covering(sid), want: expect{report.ScanFailed, "nothing in the image could be looked up: none of its 412 packages of debian trixie/sid (verdict.noPackages)"}},
		"none could be looked up, both accepted":   {options: both, scan: covering(sid), want: expect{report.Accepted, "nothing in the image could be looked up: none of its 412 packages of debian trixie/sid"}},
		"no packages":                              {scan: covering(static), want: expect{report.ScanFailed, "nothing in the image could be looked up: the scanner found no packages and recognised no distribution (verdict.noPackages)"}},
		"no packages, accepted":                    {options: empty, scan: covering(static), want: expect{report.Accepted, "nothing in the image could be looked up: the scanner found no packages and recognised no distribution"}},
		"no packages of a distribution":            {scan: covering(bare), want: expect{report.ScanFailed, "nothing in the image could be looked up: the scanner found no packages of wolfi 20230201"}},
		"no packages, unmatched accepted":          {options: unmatched, scan: covering(static), want: expect{report.ScanFailed, "nothing in the image"}},
		"silence":                                  {options: both, scan: covering(nil), want: expect{report.ScanFailed, "the scanner reported nothing and does not say what it looked at (scanner.harbor.emptyReport)"}},
		"silence of one who is not to be believed": {options: verdict.Options{Believed: []string{"", "scanner.harbor"}}, scan: covering(nil), want: expect{report.ScanFailed, "the scanner reported nothing"}},
		"findings, coverage unknown":               {scan: covering(nil, low), want: expect{report.Accepted, "no finding of severity High or worse (1 below)"}},
		"a policy's pass, coverage unknown":        {scan: func() *report.Scan { s := judged(report.JudgementPass); s.Coverage = nil; return s }(), want: expect{report.Accepted, "the scanner's policy accepts"}},
		"a policy's pass on what it cannot know":   {scan: func() *report.Scan { s := judged(report.JudgementPass); s.Coverage = sid; return s }(), want: expect{report.ScanFailed, "412 of 412"}},
		"a policy's fail":                          {scan: func() *report.Scan { s := judged(report.JudgementFail); s.Coverage = sid; return s }(), want: expect{report.Rejected, "the scanner's policy rejects"}},
		"packages that nobody counted":             {scan: covering(&report.Coverage{Distribution: "debian 12", Uncounted: true}), want: expect{report.Accepted, "no vulnerabilities found in the packages of debian 12, not counted"}},
		"one package":                              {scan: covering(&report.Coverage{Packages: 1}), want: expect{report.Accepted, "no vulnerabilities found in 1 package, no distribution recognised"}},
		"a name that would forge a line":           {scan: covering(&report.Coverage{Distribution: "x\nlevel=error", Packages: 1, Unmatched: 1}), want: expect{report.ScanFailed, "1 of 1 packages could not be looked up: the scanner has no records of x level=error"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.Threshold = report.SeverityHigh
			got := newJudge(t, tc.options).Judge(tc.scan, subject())
			tc.want.check(t, got)
			if c := tc.scan.Coverage; (c == nil || c.Nothing()) && strings.Contains(got.Message, "no vulnerabilities found") {
				t.Errorf("message %q says that none were found where nobody could look", got.Message)
			}
		})
	}
	t.Run("silence that counts", func(t *testing.T) {
		s := covering(nil)
		s.Believed = "scanner.harbor"
		for _, tc := range []struct {
			believed []string
			want     report.Status
		}{
			{[]string{"scanner.harbor"}, report.Accepted},
			{nil, report.ScanFailed},
			// Another one that is believed is not the one that made it.
			{[]string{"scanner.routes ghcr.io/team", "scanner.attached"}, report.ScanFailed},
		} {
			got := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, Believed: tc.believed}).Judge(s, subject())
			expect{tc.want, "the scanner reported nothing and does not say what it looked at"}.check(t, got)
		}
	})
}

func TestVulnerabilityDataHasAnAge(t *testing.T) {
	of := func(built time.Time, v ...report.Vulnerability) *report.Scan {
		s := scanOf(v...)
		s.DatabaseBuiltAt = built
		return s
	}
	pass := judged(report.JudgementPass)
	pass.DatabaseBuiltAt = today().AddDate(0, 0, -30)
	attached := of(today().AddDate(0, 0, -30))
	attached.Attached = true
	week := 7 * 24 * time.Hour
	for name, tc := range map[string]struct {
		max  time.Duration
		scan *report.Scan
		want expect
	}{
		"any age":                 {0, of(today().AddDate(-1, 0, 0)), expect{report.Accepted, "no vulnerabilities"}},
		"unknown, any age":        {0, of(time.Time{}), expect{report.Accepted, "no vulnerabilities"}},
		"young enough":            {week, of(today().AddDate(0, 0, -7)), expect{report.Accepted, "no vulnerabilities"}},
		"too old":                 {week, of(today().AddDate(0, 0, -8)), expect{report.ScanFailed, "the scan was made with vulnerability data of 2026-10-24, which is 8 days old; it may be 7 days old (verdict.maxDatabaseAge)"}},
		"too old by hours":        {time.Hour, of(today().Add(-90 * time.Minute)), expect{report.ScanFailed, "the scan was made with vulnerability data of 2026-11-01, which is 1h30m0s old; it may be 1h0m0s old"}},
		"of unknown age":          {week, of(time.Time{}), expect{report.ScanFailed, "the scanner does not say how old its vulnerability data is; it may be 7 days old (verdict.maxDatabaseAge)"}},
		"of the future":           {week, of(today().AddDate(1, 0, 0)), expect{report.ScanFailed, "the scanner's vulnerability data is dated 2027-11-01, which is in the future"}},
		"too old, and a finding":  {week, of(today().AddDate(-1, 0, 0), finding("CVE-1", report.SeverityHigh, "")), expect{report.Rejected, "CVE-1"}},
		"too old for a policy":    {week, pass, expect{report.ScanFailed, "the scan was made with vulnerability data of 2026-10-02, which is 30 days old"}},
		"too old for an attached": {week, attached, expect{report.ScanFailed, "the scan was made with vulnerability data of 2026-10-02"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.check(t, newJudge(t, verdict.Options{Threshold: report.SeverityHigh, MaxDatabaseAge: tc.max}).Judge(tc.scan, subject()))
		})
	}
}

func TestWrongChoicesAreNamed(t *testing.T) {
	_, err := verdict.New(verdict.Options{UnmatchedPackages: "maybe", NoPackages: "perhaps", MaxDatabaseAge: -time.Hour})
	for _, want := range []string{`UnmatchedPackages: "maybe"`, `NoPackages: "perhaps"`, "MaxDatabaseAge: -1h0m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
