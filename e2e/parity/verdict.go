package parity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Verdict is what came of a case, in the same form both ways.
type Verdict struct {
	Violations []Violation // sorted
	// Scanned is which images the provider was asked about, sorted.
	Scanned []string
	// Refused is what was said of a constraint that could not be applied.
	Refused string

	// keys is, of Gatekeeper alone, what it sent to the provider, sorted.
	keys []string
}

// Violation is one message of one constraint.
type Violation struct {
	Constraint, Action, Message string
}

// Allowed tells whether the request passes.
func (v Verdict) Allowed() bool {
	return v.Refused == "" && !slices.ContainsFunc(v.Violations, func(x Violation) bool { return x.Action == "deny" })
}

// Decision is the verdict in a word.
func (v Verdict) Decision() string {
	switch {
	case v.Refused != "":
		return "refused"
	case !v.Allowed():
		return "denied"
	case len(v.Violations) > 0:
		return "allowed, " + v.Violations[0].Action
	default:
		return "allowed"
	}
}

func (v *Verdict) sort() {
	slices.SortFunc(v.Violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Constraint, b.Constraint))
	})
	slices.Sort(v.keys)
	slices.Sort(v.Scanned)
	v.Scanned = slices.Compact(v.Scanned)
}

// String is the verdict in lines.
func (v Verdict) String() string {
	if v.Refused != "" {
		return "refused: " + v.Refused
	}
	var b strings.Builder
	b.WriteString(v.Decision())
	for _, x := range v.Violations {
		fmt.Fprintf(&b, "\n  %s [%s] %s", x.Action, x.Constraint, x.Message)
	}
	fmt.Fprintf(&b, "\n  scanned %v", v.Scanned)
	return b.String()
}

// Equal tells whether both ways came to the same: decision, constraints,
// actions, messages, and what was scanned. The words about a constraint that
// cannot be applied are the API server's here and kubectl's there.
func (v Verdict) Equal(other Verdict) bool {
	if v.Refused != "" || other.Refused != "" {
		return (v.Refused == "") == (other.Refused == "")
	}
	return slices.Equal(v.Violations, other.Violations) && slices.Equal(v.Scanned, other.Scanned)
}

// Check holds a verdict against what the case wants.
func (c Case) Check(v Verdict) error {
	if c.Refused != "" || v.Refused != "" {
		if c.Refused == "" || !strings.Contains(v.Refused, c.Refused) {
			return fmt.Errorf("want refused %q, got %s", c.Refused, v)
		}
		return nil
	}
	for action, want := range map[string][]string{"deny": c.Deny, "warn": c.Warn, "dryrun": c.DryRun} {
		var got []string
		for _, x := range v.Violations {
			if x.Action == action {
				got = append(got, x.Message)
			}
		}
		want = slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s: want\n  %s\ngot\n  %s", action, strings.Join(want, "\n  "), strings.Join(got, "\n  "))
		}
	}
	if c.Scanned != nil && !slices.Equal(v.Scanned, slices.Sorted(slices.Values(c.Scanned))) {
		return fmt.Errorf("scanned: want %v, got %v", c.Scanned, v.Scanned)
	}
	if c.Keys != nil && v.keys != nil && !slices.Equal(v.keys, slices.Sorted(slices.Values(c.Keys))) {
		return fmt.Errorf("keys: want %v, got %v", c.Keys, v.keys)
	}
	return nil
}
