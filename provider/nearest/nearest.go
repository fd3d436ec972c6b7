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
		if d := distance(strings.ToLower(written), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best, best != ""
}

// distance is the number of letters that differ, where two neighbours in each other's
// place count as one.
func distance(written, name string) int {
	d := levenshtein.ComputeDistance(written, name)
	letters := []rune(written)
	for i := 1; i < len(letters); i++ {
		letters[i-1], letters[i] = letters[i], letters[i-1]
		d = min(d, 1+levenshtein.ComputeDistance(string(letters), name))
		letters[i-1], letters[i] = letters[i], letters[i-1]
	}
	return d
}
