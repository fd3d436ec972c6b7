package verdict

import (
	"iter"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// identifier is the form in which names of vulnerabilities are compared.
func identifier(s string) string { return strings.ToUpper(s) }

// names yields all names of a finding, as the scanner spells them.
func names(v *report.Vulnerability) iter.Seq[string] {
	return func(yield func(string) bool) {
		if v.ID != "" && !yield(v.ID) {
			return
		}
		for _, a := range v.Aliases {
			if a != "" && !yield(a) {
				return
			}
		}
	}
}

// ownNames yields the names by which a finding may be set aside. The
// advisories of distributions bundle flaws (one ALAS or ELSA lists many CVEs);
// such a finding goes by its own identifier only, for what is said about one
// of the CVEs does not hold for the others.
func ownNames(v *report.Vulnerability) iter.Seq[string] {
	if !v.Bundles() {
		return names(v)
	}
	return names(&report.Vulnerability{ID: v.ID})
}
