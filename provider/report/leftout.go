package report

import "slices"

// LeftOut is what a scanner found, or would have, and is configured not to
// report: of these findings its silence says nothing.
type LeftOut struct {
	// Severities are those it leaves out.
	Severities []Severity `json:",omitempty"`
	// Unfixed says that it leaves out what has no fix yet.
	Unfixed bool `json:",omitempty"`
	// Packages names the kind of packages that it does not look up; empty when it
	// looks up all that it knows.
	Packages string `json:",omitempty"`
}

// Misses reports whether findings of the severity are left out, by severity.
func (l *LeftOut) Misses(s Severity) bool { return l != nil && slices.Contains(l.Severities, s) }
