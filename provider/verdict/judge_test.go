package verdict_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

const (
	index    = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	manifest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	other    = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
)

// today is when all tests take place unless they say otherwise.
func today() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newJudge(t *testing.T, o verdict.Options) *verdict.Judge {
	t.Helper()
	if o.Now == nil {
		o.Now = today
	}
	j, err := verdict.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// withExceptions judges at severity High with the entries of an exceptions file.
func withExceptions(t *testing.T, entries string) *verdict.Judge {
	t.Helper()
	return newJudge(t, verdict.Options{Threshold: report.SeverityHigh, ExceptionsFile: write(t, "exceptions.yaml", entries)})
}

func finding(id string, s report.Severity, fixed string) report.Vulnerability {
	return report.Vulnerability{ID: id, Package: "pkg", Installed: "1.0", Fixed: fixed, Severity: s}
}

func scanOf(v ...report.Vulnerability) *report.Scan {
	report.Arrange(v)
	return &report.Scan{Scanner: "Test 1", Vulnerabilities: v, Coverage: &report.Coverage{Distribution: "debian 12", Packages: 87}}
}

func judged(by report.Judgement, v ...report.Vulnerability) *report.Scan {
	s := scanOf(v...)
	s.Judgement = by
	return s
}

func subject() verdict.Subject {
	return verdict.Subject{Reference: "ghcr.io/acme/web:1.2", Digest: index, Manifest: manifest, Namespace: "shop"}
}

// expect is an outcome; the message must begin with it.
type expect struct {
	status  report.Status
	message string
}

func (e expect) check(t *testing.T, got verdict.Outcome) {
	t.Helper()
	if got.Status != e.status || !strings.HasPrefix(got.Message, e.message) {
		t.Errorf("%s %q, want %s %q", got.Status, got.Message, e.status, e.message)
	}
}

func TestThreshold(t *testing.T) {
	high, medium := finding("CVE-H", report.SeverityHigh, "1.1"), finding("CVE-M", report.SeverityMedium, "1.1")
	unfixed := finding("CVE-U", report.SeverityCritical, "")
	atHigh, onlyFixed := verdict.Options{Threshold: report.SeverityHigh}, verdict.Options{Threshold: report.SeverityHigh, OnlyFixed: true}
	set := high
	set.Suppressed = "ignored by the scanner"
	for name, tc := range map[string]struct {
		options verdict.Options
		scan    *report.Scan
		want    expect
	}{
		"clean":               {atHigh, scanOf(), expect{report.Accepted, "no vulnerabilities found in 87 packages of debian 12"}},
		"below":               {atHigh, scanOf(medium), expect{report.Accepted, "no finding of severity High or worse (1 below)"}},
		"at":                  {atHigh, scanOf(medium, high), expect{report.Rejected, "CVE-H (High) in pkg 1.0, fixed in 1.1"}},
		"above":               {atHigh, scanOf(unfixed, high), expect{report.Rejected, "CVE-U (Critical) in pkg 1.0, no fix yet; and 1 more finding of severity High or worse"}},
		"unfixed ignored":     {onlyFixed, scanOf(unfixed), expect{report.Accepted, "no finding of severity High or worse that have a fix (1 below)"}},
		"unfixed beside":      {onlyFixed, scanOf(unfixed, high), expect{report.Rejected, "CVE-H (High)"}},
		"unknown counts":      {verdict.Options{}, scanOf(finding("X", report.SeverityUnknown, "")), expect{report.Rejected, "X (Unknown)"}},
		"scanner suppressed":  {atHigh, scanOf(set), expect{report.Accepted, "no finding of severity High or worse (0 below, 1 suppressed: CVE-H by ignored by the scanner)"}},
		"some are suppressed": {atHigh, scanOf(set, unfixed), expect{report.Rejected, "CVE-U (Critical) in pkg 1.0, no fix yet; 1 suppressed"}},
		"unlisted":            {atHigh, &report.Scan{Unlisted: true}, expect{report.Rejected, "the scanner neither judged"}},
		"unlisted pass":       {atHigh, &report.Scan{Unlisted: true, Judgement: report.JudgementPass}, expect{report.Accepted, "the scanner's policy accepts"}},
		"unlisted, tightened": {verdict.Options{Tighten: true}, &report.Scan{Unlisted: true, Judgement: report.JudgementPass}, expect{report.Rejected, "the scanner's policy accepts the image, but"}},
		"no scan":             {atHigh, nil, expect{report.ScanFailed, "there is no scan"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := newJudge(t, tc.options).Judge(tc.scan, subject())
			tc.want.check(t, got)
			if got.Scan != tc.scan {
				t.Error("the scan was copied although nothing was suppressed")
			}
		})
	}
}

func TestScannersThatJudge(t *testing.T) {
	high, critical := finding("CVE-H", report.SeverityHigh, "1.1"), finding("CVE-C", report.SeverityCritical, "")
	medium, set := finding("CVE-M", report.SeverityMedium, "1.1"), finding("CVE-S", report.SeverityHigh, "1.1")
	set.Suppressed = "ignored by the scanner"
	const excuse = `[{cve: CVE-H, images: ["*"], expires: 2027-01-01, reason: not reachable}]`
	for name, tc := range map[string]struct {
		tighten, loosen, onlyFixed bool
		scan                       *report.Scan
		want                       expect
	}{
		"pass stands":                    {scan: judged(report.JudgementPass, critical), want: expect{report.Accepted, "the scanner's policy accepts"}},
		"pass tightened":                 {tighten: true, scan: judged(report.JudgementPass, critical), want: expect{report.Rejected, "CVE-C (Critical) in pkg 1.0, no fix yet; the scanner's own policy accepts"}},
		"pass tightened, excused":        {tighten: true, scan: judged(report.JudgementPass, high), want: expect{report.Accepted, "the scanner's policy accepts"}},
		"pass tightened, below":          {tighten: true, scan: judged(report.JudgementPass, medium), want: expect{report.Accepted, "the scanner's policy accepts"}},
		"fail stands":                    {scan: judged(report.JudgementFail, high, medium), want: expect{report.Rejected, "the scanner's policy rejects the image; worst finding: CVE-H (High) in pkg 1.0, fixed in 1.1; 1 suppressed findings do not change"}},
		"fail stands without findings":   {loosen: true, scan: judged(report.JudgementFail), want: expect{report.Rejected, "the scanner's policy rejects the image"}},
		"fail for no finding":            {loosen: true, scan: judged(report.JudgementFail, medium), want: expect{report.Rejected, "the scanner's policy rejects"}},
		"fail loosened":                  {loosen: true, scan: judged(report.JudgementFail, high, medium), want: expect{report.Accepted, "the scanner's policy rejects the image, but no finding of severity High or worse (1 below, 1 suppressed: CVE-H by exception until 2027-01-01: not reachable)"}},
		"fail loosened, one left":        {loosen: true, scan: judged(report.JudgementFail, high, critical), want: expect{report.Rejected, "the scanner's policy rejects"}},
		"onlyFixed loosens nothing":      {loosen: true, onlyFixed: true, scan: judged(report.JudgementFail, high, critical), want: expect{report.Rejected, "the scanner's policy rejects"}},
		"the scanner's own loosens not":  {loosen: true, scan: judged(report.JudgementFail, set), want: expect{report.Rejected, "the scanner's policy rejects"}},
		"an unknown judgement is a fail": {loosen: true, scan: judged("warn", high), want: expect{report.Rejected, `the scanner judged "warn"`}},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJudge(t, verdict.Options{
				Threshold: report.SeverityHigh, OnlyFixed: tc.onlyFixed, Tighten: tc.tighten, Loosen: tc.loosen,
				ExceptionsFile: write(t, "exceptions.yaml", excuse),
			})
			tc.want.check(t, j.Judge(tc.scan, subject()))
		})
	}
}

func TestStoredScansDoNotChange(t *testing.T) {
	j := withExceptions(t, `[{cve: CVE-H, images: ["*"], expires: 2027-01-01, reason: r}]`)
	stored := scanOf(finding("CVE-H", report.SeverityHigh, ""), finding("CVE-L", report.SeverityLow, ""))
	got := j.Judge(stored, subject())
	expect{report.Accepted, "no finding of severity High or worse (1 below, 1 suppressed: CVE-H by exception until 2027-01-01: r)"}.check(t, got)
	if s := stored.Vulnerabilities[0].Suppressed; s != "" {
		t.Errorf("the stored scan now says %q", s)
	}
	if got.Scan == stored || got.Scan.Vulnerabilities[0].Suppressed != "exception until 2027-01-01: r" || got.Scan.Vulnerabilities[1].Suppressed != "" {
		t.Errorf("the outcome's scan is %+v", got.Scan)
	}
}

func TestMessagesNameAFewSuppressedFindings(t *testing.T) {
	j := withExceptions(t, `
- {cve: CVE-1, images: ["*"], expires: 2027-01-01, reason: one}
- {cve: CVE-2, images: ["*"], expires: 2027-01-01, reason: two}
- {cve: CVE-3, images: ["*"], expires: 2027-01-01, reason: three}
`)
	got := j.Judge(scanOf(finding("CVE-1", report.SeverityHigh, ""), finding("CVE-2", report.SeverityHigh, ""), finding("CVE-3", report.SeverityHigh, "")), subject())
	const want = "no finding of severity High or worse (0 below, 3 suppressed: CVE-3 by exception until 2027-01-01: three; " +
		"CVE-2 by exception until 2027-01-01: two; and 1 more)"
	if got.Message != want {
		t.Errorf("message %q, want %q", got.Message, want)
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		options verdict.Options
		want    string
	}{
		"threshold":       {verdict.Options{Threshold: 42}, "Threshold: 42 is no severity"},
		"no such file":    {verdict.Options{ExceptionsFile: filepath.Join(dir, "none")}, "loading the exceptions file"},
		"a directory":     {verdict.Options{ExceptionsFile: dir}, "is not a regular file"},
		"empty VEX file":  {verdict.Options{VEXFiles: []string{""}}, "VEXFiles[0]: is empty"},
		"twice":           {verdict.Options{VEXFiles: []string{"a", "a"}}, "VEXFiles[1]: a is there twice"},
		"no such VEX doc": {verdict.Options{VEXFiles: []string{filepath.Join(dir, "none")}}, "loading the VEX documents"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := verdict.New(tc.options); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v lacks %q", err, tc.want)
			}
		})
	}
}
