// Package platform reads what is known of the platforms on which an image may
// run. A Pod rarely says all of it: kubernetes.io/os: windows names no
// architecture, a node affinity may allow several. What it does say narrows the
// choice among an index's manifests, and it is said in one spelling everywhere:
// in the keys of templates and the mutator, in the configuration, on the command
// line.
package platform

import (
	"errors"
	"fmt"
	"strings"
)

// MaxPatterns bounds a set. Who means more is refused: what was left out would
// run unjudged.
const MaxPatterns = 32

// Set is the union of its patterns. The empty set knows nothing.
type Set []Pattern

// Parse reads patterns with commas between them: linux/amd64,windows/*. The
// empty string is the empty set. Errors quote the pattern at fault.
func Parse(s string) (Set, error) {
	if s == "" {
		return nil, nil
	}
	words := strings.SplitN(s, ",", MaxPatterns+1)
	if len(words) > MaxPatterns {
		return nil, fmt.Errorf("more than %d platforms", MaxPatterns)
	}
	set := make(Set, 0, len(words))
	for _, word := range words {
		p, err := parsePattern(word)
		if err != nil {
			return nil, fmt.Errorf("platform %q: %w", word, err)
		}
		set = append(set, p)
	}
	return set, nil
}

// String returns the set as Parse reads it.
func (s Set) String() string {
	words := make([]string, len(s))
	for i, p := range s {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}

// Within returns the patterns to judge an index by, given those in use where
// nothing is known. A pattern that names both halves stands as it is. One that
// leaves a half open is narrowed by those in use that agree with it; when none
// does, it stands too, since what is known of a Pod outweighs what is commonly
// in use.
func (s Set) Within(inUse Set) Set {
	if len(s) == 0 {
		return inUse
	}
	var out Set
	for _, p := range s {
		narrowed := Set{p}
		if !p.exact() {
			narrowed = nil
			for _, u := range inUse {
				if both, ok := p.and(u); ok {
					narrowed = append(narrowed, both)
				}
			}
			if len(narrowed) == 0 {
				narrowed = Set{p}
			}
		}
		for _, n := range narrowed {
			out = out.with(n)
		}
	}
	return out
}

func (s Set) with(p Pattern) Set {
	for _, have := range s {
		if have.String() == p.String() {
			return s
		}
	}
	return append(s, p)
}

var errForm = errors.New("want os/arch[/variant], where os or arch may be * for any or !name for any but name")
