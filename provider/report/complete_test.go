package report_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

const asked = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

func now() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }

// whole is a scan that counts.
func whole(v ...report.Vulnerability) *report.Scan {
	s := scanOf(v...)
	s.Subject, s.ScannedAt, s.DatabaseBuiltAt = asked, now().Add(-time.Minute), now().Add(-time.Hour)
	s.Coverage = &report.Coverage{Distribution: "debian 12.5", Packages: 87}
	return s
}

func TestOnlyACompleteReportCounts(t *testing.T) {
	medium := vulnerability("CVE-M", report.SeverityMedium, "")
	for name, tc := range map[string]struct {
		scan   *report.Scan
		change func(*report.Scan)
		want   string // what the failure says; empty when the scan counts
	}{
		"findings":                        {scan: whole(medium)},
		"clean":                           {scan: whole()},
		"findings, coverage unknown":      {scan: whole(medium), change: func(s *report.Scan) { s.Coverage = nil }},
		"a judgement without a list":      {scan: whole(), change: func(s *report.Scan) { s.Coverage, s.Unlisted, s.Judgement = nil, true, report.JudgementPass }},
		"a judgement with an empty list":  {scan: whole(), change: func(s *report.Scan) { s.Coverage, s.Judgement = nil, report.JudgementPass }},
		"its clock is a little ahead":     {scan: whole(), change: func(s *report.Scan) { s.ScannedAt = now().Add(4 * time.Minute) }},
		"data of unknown age":             {scan: whole(), change: func(s *report.Scan) { s.DatabaseBuiltAt = time.Time{} }},
		"silence that counts":             {scan: whole(), change: func(s *report.Scan) { s.Coverage, s.Believed = nil, "scanner.harbor" }},
		"overall as bad as the worst":     {scan: whole(medium), change: func(s *report.Scan) { s.Overall = report.SeverityMedium }},
		"overall milder than the worst":   {scan: whole(medium), change: func(s *report.Scan) { s.Overall = report.SeverityLow }},
		"clean and called Negligible":     {scan: whole(), change: func(s *report.Scan) { s.Overall = report.SeverityNegligible }},
		"set aside without a package":     {scan: whole(report.Vulnerability{ID: "CVE-1", Suppressed: "r"})},
		"no scan":                         {want: "neither a report nor an error"},
		"no scanner":                      {scan: whole(), change: func(s *report.Scan) { s.Scanner = " " }, want: "names no scanner"},
		"no time":                         {scan: whole(), change: func(s *report.Scan) { s.ScannedAt = time.Time{} }, want: "does not say when it was made"},
		"a time in the future":            {scan: whole(), change: func(s *report.Scan) { s.ScannedAt = now().Add(6 * time.Minute) }, want: "dated 2026-11-26T12:06:00Z, which is in the future"},
		"data of the future":              {scan: whole(), change: func(s *report.Scan) { s.DatabaseBuiltAt = now().Add(time.Hour) }, want: "vulnerability data is dated 2026-11-26T13:00:00Z, which is in the future"},
		"no subject":                      {scan: whole(), change: func(s *report.Scan) { s.Subject = "" }, want: "does not say which image it is about"},
		"another subject":                 {scan: whole(), change: func(s *report.Scan) { s.Subject = "sha256:other" }, want: "about sha256:other instead of " + asked},
		"a subject that forges a line":    {scan: whole(), change: func(s *report.Scan) { s.Subject = "x\nlevel=error" }, want: "about x level=error instead of"},
		"no list and no judgement":        {scan: whole(), change: func(s *report.Scan) { s.Unlisted = true }, want: "neither judges the image nor lists"},
		"a finding without identifier":    {scan: whole(report.Vulnerability{Package: "p"}), want: `a finding in "p" has no identifier`},
		"a finding without package":       {scan: whole(report.Vulnerability{ID: "CVE-1"}), want: `finding "CVE-1" names no package`},
		"a finding of no severity":        {scan: whole(report.Vulnerability{ID: "CVE-1", Package: "p", Severity: -1}), want: `finding "CVE-1" has no severity`},
		"overall worse than any":          {scan: whole(medium), change: func(s *report.Scan) { s.Overall = report.SeverityHigh }, want: "calls the image High and lists nothing worse than Medium"},
		"overall bad and nothing listed":  {scan: whole(), change: func(s *report.Scan) { s.Overall = report.SeverityLow }, want: "calls the image Low and lists no vulnerability"},
		"nothing listed, coverage silent": {scan: whole(), change: func(s *report.Scan) { s.Coverage = nil }, want: "the scanner reported nothing and does not say what it looked at"},
		"more unmatched than packages":    {scan: whole(), change: func(s *report.Scan) { s.Coverage.Unmatched = 88 }, want: "counts its packages wrongly"},
		"fewer packages than none":        {scan: whole(), change: func(s *report.Scan) { s.Coverage.Packages = -1 }, want: "counts its packages wrongly"},
		"a name of a megabyte":            {scan: whole(), change: func(s *report.Scan) { s.Subject = strings.Repeat("x", 1<<20) }, want: "about xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.change != nil {
				tc.change(tc.scan)
			}
			err := report.Complete(tc.scan, asked, now())
			if tc.want == "" {
				if err != nil {
					t.Errorf("it does not count: %v", err)
				}
				return
			}
			f, ok := errors.AsType[*report.Failure](err)
			if !ok || !strings.Contains(f.Message, tc.want) {
				t.Fatalf("failure %v, want one with %q", err, tc.want)
			}
			if clock := strings.Contains(name, "time") || strings.Contains(name, "future"); f.Lasting() == clock && tc.scan != nil {
				t.Errorf("lasting: %t", f.Lasting())
			}
			if f.Transient() || len(f.Message) > 512 {
				t.Errorf("failure of %d bytes, transient %t", len(f.Message), f.Transient())
			}
		})
	}
}

func TestASeverityIsStatedOrScored(t *testing.T) {
	for name, tc := range map[string]struct {
		word   string
		scores []float64
		want   report.Severity
		err    string
	}{
		"a word":                          {word: "medium", want: report.SeverityMedium},
		"a word beside a worse score":     {word: "Low", scores: []float64{9.8}, want: report.SeverityLow},
		"Unknown":                         {word: "Unknown", want: report.SeverityUnknown},
		"Unknown beside a score":          {word: "Unknown", scores: []float64{9.8}, want: report.SeverityCritical},
		"no word, a score":                {scores: []float64{9.8}, want: report.SeverityCritical},
		"no word, an unscored record":     {scores: []float64{0, 7.2}, want: report.SeverityHigh},
		"9.0":                             {scores: []float64{9}, want: report.SeverityCritical},
		"8.9":                             {scores: []float64{8.9}, want: report.SeverityHigh},
		"7.0":                             {scores: []float64{7}, want: report.SeverityHigh},
		"4.0":                             {scores: []float64{4}, want: report.SeverityMedium},
		"0.1":                             {scores: []float64{0.1}, want: report.SeverityLow},
		"neither":                         {err: "neither a severity nor a CVSS score"},
		"no word, scored nought":          {scores: []float64{0}, err: "neither"},
		"no word, a score out of range":   {scores: []float64{98}, err: "neither"},
		"a word that nobody knows":        {word: "Catastrophic", scores: []float64{1}, err: `"Catastrophic" is not known`},
		"a word of a megabyte":            {word: strings.Repeat("x", 1<<20), err: "xxx..."},
		"a word that would forge a line":  {word: "x\nlevel=error", err: "x level=error"},
		"a distribution's word and score": {word: "moderate", scores: []float64{9.1}, want: report.SeverityMedium},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := report.Rate(tc.word, tc.scores...)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || len(err.Error()) > 100 {
					t.Errorf("%s, error %v", got, err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("%s, %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestCoverageIsInTheSummary(t *testing.T) {
	s := whole()
	s.Coverage.Unmatched, s.Coverage.Distribution = 12, "debian\x00trixie/sid"
	r, err := report.Render(report.ScanReport{Status: report.Accepted}, s, report.ViewSummary, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := (report.Coverage{Distribution: "debian trixie/sid", Packages: 87, Unmatched: 12}); r.Summary.Coverage == nil || *r.Summary.Coverage != want {
		t.Errorf("coverage is %+v, want %+v", r.Summary.Coverage, want)
	}
	s.Coverage = nil
	if r, err := report.Render(report.ScanReport{}, s, report.ViewSummary, 0); err != nil || r.Summary.Coverage != nil {
		t.Errorf("a coverage that is not known reads %+v, %v", r.Summary.Coverage, err)
	}
}

// Grype's own report names the distribution and no number of packages.
func TestPackagesThatNobodyCountedAreNotNone(t *testing.T) {
	s := whole()
	for _, tc := range []struct {
		coverage      report.Coverage
		nothing, fits bool
		says          string
	}{
		{report.Coverage{}, true, true, "0 packages, no distribution recognised"},
		{report.Coverage{Packages: 3, Unmatched: 3}, true, true, "3 packages, no distribution recognised"},
		{report.Coverage{Packages: 3, Unmatched: 2}, false, true, "3 packages, no distribution recognised"},
		{report.Coverage{Distribution: "debian 12", Uncounted: true}, false, true, "the packages of debian 12, not counted"},
		{report.Coverage{Uncounted: true}, false, false, "the packages of , not counted"},
	} {
		s.Coverage = &tc.coverage
		if err := report.Complete(s, s.Subject, s.ScannedAt); (err == nil) != tc.fits {
			t.Errorf("%+v: %v", tc.coverage, err)
		}
		if tc.coverage.Nothing() != tc.nothing || tc.coverage.String() != tc.says {
			t.Errorf("%+v is nothing: %t, reads %q", tc.coverage, tc.coverage.Nothing(), tc.coverage.String())
		}
	}
}

func TestCoverageOfSeveralPlatforms(t *testing.T) {
	one, two, uncounted, unknown := whole(), whole(), whole(), whole()
	uncounted.Coverage = &report.Coverage{Distribution: "wolfi", Uncounted: true}
	one.Coverage = &report.Coverage{Distribution: "debian 12.5", Packages: 80, Unmatched: 2, Gap: "a", EndOfLife: now()}
	two.Coverage = &report.Coverage{Distribution: "alpine 3.20", Packages: 20, Gap: "a", EndOfLife: now().AddDate(-1, 0, 0)}
	unknown.Coverage = nil
	for name, tc := range map[string]struct {
		scans    []*report.Scan
		complete bool
		want     *report.Coverage
	}{
		"both":                 {[]*report.Scan{one, two}, true, &report.Coverage{Distribution: "debian 12.5, alpine 3.20", Packages: 100, Unmatched: 2, Gap: "a", EndOfLife: now().AddDate(-1, 0, 0)}},
		"one is not counted":   {[]*report.Scan{one, uncounted}, true, &report.Coverage{Distribution: "debian 12.5, wolfi", Packages: 80, Unmatched: 2, Uncounted: true, Gap: "a", EndOfLife: now()}},
		"one is not known":     {[]*report.Scan{one, unknown}, true, nil},
		"one is not there yet": {[]*report.Scan{one}, false, nil},
	} {
		var scans []report.OnPlatform
		for _, scan := range tc.scans {
			scans = append(scans, report.OnPlatform{Scan: scan})
		}
		got := report.Merge(tc.scans[0], scans, tc.complete).Coverage
		if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}
