package predicate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// gap says why a scanner's data does not have a release of a distribution, or
// nothing. A scanner that meets one of those reports no finding in its packages,
// as if it had looked. Of all that are known here releases go by number: a name
// without one ("trixie/sid") is of one that is not out.
func gap(scanner string, known []string, distribution, release string) string {
	switch {
	case !slices.Contains(known, strings.ToLower(distribution)):
		return fmt.Sprintf("%s has no data of %s", scanner, report.Clean(distribution, maxName))
	case release == "" || release[0] < '0' || release[0] > '9':
		return fmt.Sprintf("%s has no data of release %q of %s", scanner, report.Clean(release, maxName), report.Clean(distribution, maxName))
	}
	return ""
}

// packagesOf counts the packages in which something was found: so many there are
// at least.
func packagesOf(findings []report.Vulnerability) int {
	seen := map[[2]string]bool{}
	for i := range findings {
		seen[[2]string{findings[i].Package, findings[i].Installed}] = true
	}
	return len(seen)
}
