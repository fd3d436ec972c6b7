package install

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/install/finding"
)

// Problem is what is wrong, in words.
type Problem struct {
	Reason  finding.ID `json:"reason"`
	Message string     `json:"message"`
}

func (p Problem) String() string { return string(p.Reason) + ": " + p.Message }

// problems collects them. Of one reason the first says enough.
type problems []Problem

func (p *problems) add(r finding.ID, format string, args ...any) {
	if !p.has(r) {
		*p = append(*p, Problem{Reason: r, Message: cut(fmt.Sprintf(format, args...))})
	}
}

// found adds what a check found.
func (p *problems) found(list []finding.Finding) {
	for _, f := range list {
		p.add(f.ID, "%s", f.Text())
	}
}

func (p problems) has(r finding.ID) bool {
	return slices.ContainsFunc(p, func(x Problem) bool { return x.Reason == r })
}

// cut keeps a message to a line, and to what an Event takes.
func cut(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(s), ":\n", ": "), "\n", "; ")
	const most = 1000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-3], "") + "..."
}

// Err says in a sentence why policies are not enforced, or what is wrong although
// they are; nil: nothing is.
func (s Status) Err() error {
	if len(s.Problems) == 0 && (s.Enforcing || s.Mode != ModeProcess) {
		return nil
	}
	var says []string
	for _, p := range s.Problems {
		says = append(says, p.Message)
	}
	switch {
	case s.Mode == "":
		return errors.New("no replica has installed anything yet")
	case s.Enforcing:
		return fmt.Errorf("enforcing, but: %s", strings.Join(says, "; "))
	case s.Mode != ModeProcess:
		return errors.New(strings.Join(says, "; "))
	case len(says) == 0:
		says = []string{"the Constraint has just been written"}
	}
	return fmt.Errorf("not enforcing yet, because %s", strings.Join(says, "; "))
}
