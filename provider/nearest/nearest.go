// Package nearest finds what somebody meant who wrote a name that does not exist:
// of a variable, a field, a rule.
package nearest

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxPart is the part of a name that may differ: a third of it.
const maxPart = 3

// To returns the name most like the written one, if one is like it at all. The first
// of several wins.
func To(written string, names []string) (string, bool) {
	best, least := "", len(written)/maxPart+1
	for _, name := range names {
		if d := levenshtein.ComputeDistance(strings.ToLower(written), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best, best != ""
}
