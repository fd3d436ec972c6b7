package report

import (
	"cmp"
	"slices"
)

// Upgrade is what there is to do about one package: the findings of it that have a
// fix, or those that have none.
type Upgrade struct {
	Package   string
	Installed string
	// To is the highest of the versions that mend one of Findings, as far as versions of
	// all packaging systems are ordered alike; empty when none of them has a fix.
	To string
	// Worst is the severity of the worst of Findings, Exploited whether one of them
	// is known to be exploited.
	Worst     Severity
	Exploited bool
	// Findings are the identifiers, as they came.
	Findings []string
}

// Upgrades sorts findings by what has to be done about them: those known to be
// exploited first, then by severity; what has a fix before what has none. A package
// some of whose findings have a fix comes twice.
func Upgrades(findings []Vulnerability) []Upgrade {
	type key struct {
		name, installed string
		fixed           bool
	}
	at := map[key]int{}
	var out []Upgrade
	for i := range findings {
		v := &findings[i]
		k := key{v.Package, v.Installed, v.Fixed != ""}
		n, ok := at[k]
		if !ok {
			n = len(out)
			at[k] = n
			out = append(out, Upgrade{Package: v.Package, Installed: v.Installed})
		}
		u := &out[n]
		if compareVersions(v.Fixed, u.To) > 0 {
			u.To = v.Fixed
		}
		u.Worst, u.Exploited = max(u.Worst, v.Severity), u.Exploited || v.KnownExploited != nil
		u.Findings = append(u.Findings, v.ID)
	}
	slices.SortStableFunc(out, func(a, b Upgrade) int {
		return cmp.Or(
			yesFirst(a.Exploited, b.Exploited),
			cmp.Compare(b.Worst, a.Worst),
			yesFirst(a.To != "", b.To != ""),
			cmp.Compare(len(b.Findings), len(a.Findings)),
		)
	})
	return out
}

func yesFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
