package backendtest

import (
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Lack is what is wrong with a report that does not show that somebody looked at
// the image. All else about it is as the Script says.
type Lack string

// The lacks.
const (
	// NoScanner names no scanner.
	NoScanner Lack = "no scanner"
	// NoTime does not say when the report was made.
	NoTime Lack = "no time"
	// FutureTime says that it will be made in a year.
	FutureTime Lack = "a time in the future"
	// FutureDatabase says that its vulnerability data will be made in a year.
	FutureDatabase Lack = "data of the future"
	// NoSubject does not say which image the report is about.
	NoSubject Lack = "no subject"
	// OtherSubject says that it is about another image.
	OtherSubject Lack = "another subject"
	// NoList has no list of findings, while the rest of the report says that
	// there are some.
	NoList Lack = "no list"
	// NullList has null in its place.
	NullList Lack = "null for a list"
	// RenamedList has it under a name that is not the format's, and nothing else
	// that says that there are findings.
	RenamedList Lack = "a list by another name"
	// NoID has a finding without identifier.
	NoID Lack = "a finding without identifier"
	// NoPackage has a finding without package.
	NoPackage Lack = "a finding without package"
	// NoSeverity has a finding with neither a severity nor a score.
	NoSeverity Lack = "a finding without severity"
	// UnknownSeverity has a finding of severity "Catastrophic".
	UnknownSeverity Lack = "a severity that nobody knows"
	// WorseOverall calls the image Critical, which none of its findings is.
	WorseOverall Lack = "an overall severity worse than any finding"
	// Silence lists nothing and does not say what was looked at.
	Silence Lack = "silence"
	// OnlyScore has one finding with a CVSS base score of 9.8 and no severity. It
	// is a report that counts when it reads as Critical.
	OnlyScore Lack = "a score for a severity"
)

// lacks says of each what a failure for it says.
func lacks() map[Lack]string {
	return map[Lack]string{
		NoScanner: "scanner", NoTime: "when", FutureTime: "in the future", FutureDatabase: "in the future",
		NoSubject: "image", OtherSubject: "", NoList: "list", NullList: "list", RenamedList: "",
		NoID: "identifier", NoPackage: "package", NoSeverity: "severity", UnknownSeverity: "Catastrophic",
		WorseOverall: "Critical", Silence: report.SaidNothing, OnlyScore: "severity",
	}
}

// Looked is what the script's reports say was looked at: Coverage, or a default.
func (s Script) Looked() report.Coverage {
	if s.Coverage != nil {
		return *s.Coverage
	}
	return report.Coverage{Distribution: "debian 12", Packages: 2}
}

// Incomplete runs the part of the suite about reports that do not show that
// somebody looked: none of them may come out as a scan.
func Incomplete(t *testing.T, h Harness) {
	// Without this a harness that serves nothing would pass.
	if _, err := h.Start(t, Script{Findings: Findings()}).Scan(t.Context(), Image(0)); err != nil {
		t.Fatalf("a complete report: %v", err)
	}
	for lack, words := range lacks() {
		t.Run(string(lack), func(t *testing.T) {
			if why, ok := h.Cannot[lack]; ok {
				if why == "" {
					t.Error("the harness does not say why its format cannot have that")
				}
				t.Skip(why)
			}
			s := Script{Findings: Findings(), Lack: lack}
			if lack == Silence {
				s.Findings = nil
			}
			scan, err := h.Start(t, s).Scan(t.Context(), Image(0))
			if lack == OnlyScore && err == nil {
				if len(scan.Vulnerabilities) == 0 || scan.Vulnerabilities[0].Severity != report.SeverityCritical {
					t.Errorf("a finding with a score of 9.8 reads %+v", scan.Vulnerabilities)
				}
				return
			}
			f := check(t, scan, err)
			if !h.PassesOver && !strings.Contains(f.Message, words) {
				t.Errorf("message %q does not speak of %q", f.Message, words)
			}
			clean(t, f)
		})
	}
	t.Run("coverage", func(t *testing.T) { coverage(t, h) })
}

// clean asserts that a message can go to a Pod's author and into a log.
func clean(t *testing.T, f *report.Failure) {
	t.Helper()
	const most = 512
	if f.Message != report.Clean(f.Message, most) {
		t.Errorf("message %q is not clean, or longer than %d bytes", f.Message, most)
	}
}

// coverage asserts that a report that lists nothing says what was looked at, and
// so what was not.
func coverage(t *testing.T, h Harness) {
	if h.NoCoverage != "" {
		t.Skip(h.NoCoverage)
	}
	for name, c := range map[string]report.Coverage{
		"a distribution":                 {Distribution: "debian 12", Packages: 87},
		"no distribution":                {Packages: 3},
		"one past its end":               {Distribution: "debian 8", Packages: 90, EndOfLife: time.Date(2020, 6, 30, 0, 0, 0, 0, time.UTC)},
		"nothing":                        {},
		"one that nobody could look up":  {Distribution: "debian trixie/sid", Packages: 412, Unmatched: 412},
		"packages of no known home":      {Packages: 5, Unmatched: 4},
		"some that nobody could look up": {Distribution: "debian 12", Packages: 100, Unmatched: 3},
	} {
		t.Run(name, func(t *testing.T) {
			if c.Unmatched > 0 && h.NoUnmatched != "" {
				t.Skip(h.NoUnmatched)
			}
			if !c.EndOfLife.IsZero() && h.NoEndOfLife != "" {
				t.Skip(h.NoEndOfLife)
			}
			got, err := h.Start(t, Script{Coverage: &c}).Scan(t.Context(), Image(0))
			if err != nil {
				t.Fatal(err)
			}
			if got.Coverage == nil || *got.Coverage != c {
				t.Errorf("coverage is %+v, want %+v", got.Coverage, c)
			}
		})
	}
}
