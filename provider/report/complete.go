package report

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxSkew is how far ahead of the provider's another clock may be.
const maxSkew = 5 * time.Minute

// Future reports whether t is later than now by more than clocks differ. Such a
// time is a fault of whoever wrote it: taken for fresh, it would stay so.
func Future(t, now time.Time) bool { return t.Sub(now) > maxSkew }

// Complete returns nil when the scan shows that somebody looked at the manifest
// of the digest asked for, and otherwise a *Failure that says what is missing.
// It is the one place that decides so: every backend asks it before it hands a
// scan out, and the scan service asks it again of every backend.
func Complete(scan *Scan, asked string, now time.Time) error {
	if scan == nil {
		return &Failure{Reason: ReasonInternal, Message: "the scanner returned neither a report nor an error"}
	}
	if err := scan.checkTimes(now); err != nil {
		f := Incomplete(err.Error())
		// A clock is wrong, not the image: the failure must end when that does.
		f.Reason = ReasonInternal
		return f
	}
	for _, check := range []func() error{
		scan.checkOrigin,
		func() error { return scan.checkSubject(asked) },
		scan.checkFindings,
		scan.checkCoverage,
	} {
		if err := check(); err != nil {
			return Incomplete(err.Error())
		}
	}
	return nil
}

// Incomplete is the failure of a report that does not count. why continues the
// sentence and may quote the report: it is cleaned and cut.
func Incomplete(why string) *Failure {
	return &Failure{Reason: ReasonIncomplete, Message: "the scanner's report does not count: " + Clean(why, maxWhy)}
}

// maxWhy bounds what is said of an incomplete report.
const maxWhy = 300

func (s *Scan) checkOrigin() error {
	if strings.TrimSpace(s.Scanner) == "" {
		return errors.New("it names no scanner")
	}
	return nil
}

func (s *Scan) checkTimes(now time.Time) error {
	switch {
	case s.ScannedAt.IsZero():
		return errors.New("it does not say when it was made")
	case Future(s.ScannedAt, now):
		return fmt.Errorf("it is dated %s, which is in the future", s.ScannedAt.UTC().Format(time.RFC3339))
	case Future(s.DatabaseBuiltAt, now):
		return fmt.Errorf("its vulnerability data is dated %s, which is in the future", s.DatabaseBuiltAt.UTC().Format(time.RFC3339))
	}
	return nil
}

func (s *Scan) checkSubject(asked string) error {
	switch s.Subject {
	case "":
		return errors.New("it does not say which image it is about")
	case asked:
		return nil
	}
	return fmt.Errorf("it is about %s instead of %s", Clean(s.Subject, maxSubject), asked)
}

// maxSubject is the length of a digest.
const maxSubject = len("sha256:") + 64

func (s *Scan) checkFindings() error {
	if s.Unlisted {
		if s.Judgement == JudgementNone {
			return errors.New("it neither judges the image nor lists what was found")
		}
		return nil
	}
	worst := SeverityUnknown
	for i := range s.Vulnerabilities {
		v := &s.Vulnerabilities[i]
		if v.Suppressed == "" {
			if err := v.check(); err != nil {
				return err
			}
		}
		worst = max(worst, v.Severity)
	}
	// Some adapters call an image without findings Negligible.
	if s.Overall > max(worst, SeverityNegligible) {
		if len(s.Vulnerabilities) == 0 {
			return fmt.Errorf("it calls the image %s and lists no vulnerability", s.Overall)
		}
		return fmt.Errorf("it calls the image %s and lists nothing worse than %s", s.Overall, worst)
	}
	return nil
}

func (v *Vulnerability) check() error {
	switch {
	case strings.TrimSpace(v.ID) == "":
		return fmt.Errorf("a finding in %q has no identifier", Clean(v.Package, maxPackage))
	case strings.TrimSpace(v.Package) == "":
		return fmt.Errorf("finding %q names no package", Clean(v.ID, maxID))
	case v.Severity < SeverityUnknown || v.Severity > SeverityCritical:
		return fmt.Errorf("finding %q has no severity", Clean(v.ID, maxID))
	}
	return nil
}

func (s *Scan) checkCoverage() error {
	if s.Coverage != nil {
		return s.Coverage.check()
	}
	if s.Silent() && s.Believed == "" {
		return errors.New(SaidNothing)
	}
	return nil
}

// SaidNothing is what is said of a scan that is Silent, whether it counts or not.
const SaidNothing = "the scanner reported nothing and does not say what it looked at"

// Silent reports whether the scan has no finding, no judgement, and no word of
// what was looked at: it is what an image reads like that nobody looked into.
func (s *Scan) Silent() bool {
	return s.Coverage == nil && s.Judgement == JudgementNone && !s.Unlisted && len(s.Vulnerabilities) == 0
}
