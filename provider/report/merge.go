package report

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// OnPlatform is the scan of one manifest of an image.
type OnPlatform struct {
	// Platform is os/arch[/variant], empty when the image does not say.
	Platform string
	Scan     *Scan
}

// Merge returns what is known of an image that has several manifests, each
// scanned by itself: all findings, the oldest times, what all of them cover, and
// of lead, one of scans, the rest. A reader of the result must not mistake one
// platform's list for the image's: it is Unlisted when any of them is, or when
// complete is false because a manifest has no scan yet.
func Merge(lead *Scan, scans []OnPlatform, complete bool) *Scan {
	out := *lead
	out.Unlisted, out.Vulnerabilities = !complete, nil
	all := make([]*Scan, len(scans))
	m := merged{at: map[finding]int{}}
	for i, s := range scans {
		all[i] = s.Scan
		out.Unlisted = out.Unlisted || s.Scan.Unlisted
		out.ScannedAt = earliest(out.ScannedAt, s.Scan.ScannedAt)
		out.DatabaseBuiltAt = earliest(out.DatabaseBuiltAt, s.Scan.DatabaseBuiltAt)
		for _, v := range s.Scan.Vulnerabilities {
			m.add(v, s.Platform)
		}
	}
	out.Coverage, out.RiskData = mergeCoverage(all, complete), mergeRisk(all, complete)
	if !out.Unlisted {
		out.Vulnerabilities = slices.Clip(m.list)
		Arrange(out.Vulnerabilities)
	}
	return &out
}

// finding is what two platforms' findings have in common when they are one:
// the same flaw in the same package.
type finding struct{ id, pkg, kind, installed string }

func findingOf(v Vulnerability) finding {
	// A package's URL tells npm's from Debian's; its qualifiers name the platform.
	kind, _, _ := strings.Cut(v.PURL, "?")
	return finding{v.ID, v.Package, kind, v.Installed}
}

type merged struct {
	list []Vulnerability
	at   map[finding]int
}

// add takes v, found on platform, into the list.
func (m *merged) add(v Vulnerability, platform string) {
	v.Identify()
	v.Platforms = nil
	if platform != "" {
		v.Platforms = []string{platform}
	}
	key := findingOf(v)
	i, ok := m.at[key]
	if !ok {
		m.at[key] = len(m.list)
		m.list = append(m.list, v)
		return
	}
	m.list[i] = together(m.list[i], v)
}

// together makes two findings of the same flaw into one, which is as bad as the
// worse. Only one that counts is told of when the other does not: where it is
// set aside it is nobody's concern.
func together(a, b Vulnerability) Vulnerability {
	switch {
	case a.Suppressed != "" && b.Suppressed == "":
		return b
	case a.Suppressed == "" && b.Suppressed != "":
		return a
	}
	out, other := a, b
	if b.Severity > a.Severity {
		out, other = b, a
	}
	out = riskier(out, other)
	out.Fixed, out.FixAvailable = lowest(a.Fixed, b.Fixed), fixedSince(a, b)
	if out.Published.IsZero() || !other.Published.IsZero() && other.Published.Before(out.Published) {
		out.Published = other.Published
	}
	out.Platforms = joined(a.Platforms, b.Platforms)
	out.Aliases = slices.DeleteFunc(joined(out.Aliases, append([]string{other.ID}, other.Aliases...)),
		func(alias string) bool { return alias == out.ID })
	return out
}

// joined returns a with what only b has behind it, in a slice of its own.
func joined(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// earliest takes an unknown time for the oldest.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if b.Before(a) {
		return b
	}
	return a
}

// lowest returns the lower of two versions that have the fix, of which either
// may be empty for none: with that one the image is good on one platform more.
func lowest(a, b string) string {
	if a == "" || b != "" && compareVersions(b, a) < 0 {
		return b
	}
	return a
}

// compareVersions orders versions of any packaging system as far as that is the
// same in all: numbers by their value, the rest by its bytes.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		x, y := leading(a), leading(b)
		c := strings.Compare(x, y)
		if isDigit(x[0]) && isDigit(y[0]) {
			m, n := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			c = cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n))
		}
		if c != 0 {
			return c
		}
		a, b = a[len(x):], b[len(y):]
	}
	return cmp.Compare(len(a), len(b))
}

// leading returns the number, or what is none, at the head of s.
func leading(s string) string {
	n := strings.IndexFunc(s, func(r rune) bool { return isDigit(byte(r)) != isDigit(s[0]) })
	if n < 0 {
		return s
	}
	return s[:n]
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
