package install

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Reason is why something is not as it should be. The set is closed: it labels
// metrics.
type Reason string

// What keeps policies from being enforced.
const (
	ReasonAPI               Reason = "api_error"
	ReasonNoOwner           Reason = "owner_missing"
	ReasonNoGatekeeper      Reason = "gatekeeper_missing"
	ReasonCertificate       Reason = "certificate_missing"
	ReasonUnknownClientCA   Reason = "gatekeeper_ca_unknown"
	ReasonProvider          Reason = "provider_object_refused"
	ReasonWebhook           Reason = "webhook_not_patched"
	ReasonNoPolicies        Reason = "policies_missing"
	ReasonInvalidPolicies   Reason = "policies_invalid"
	ReasonRules             Reason = "rules_do_not_compile"
	ReasonTemplateRefused   Reason = "template_refused"
	ReasonTemplateNotTaken  Reason = "template_not_taken_in"
	ReasonProviderNotReady  Reason = "provider_not_ready"
	ReasonConstraintRefused Reason = "constraint_refused"
	ReasonNotEnforced       Reason = "constraint_not_enforced"
	ReasonObjectRefused     Reason = "object_refused"
)

// What weakens the policies although they are enforced.
const (
	WarningFailsOpen    Reason = "gatekeeper_fails_open"
	WarningShortTimeout Reason = "gatekeeper_short_timeout"
	WarningNoMTLS       Reason = "clients_need_no_certificate"
	WarningUnpinned     Reason = "mutator_fails_open"
	WarningDeniesNone   Reason = "constraint_denies_nothing"
	WarningMatchesNone  Reason = "constraint_matches_no_pods"
)

func reasons() []Reason {
	return []Reason{
		ReasonAPI, ReasonNoOwner, ReasonNoGatekeeper, ReasonCertificate, ReasonUnknownClientCA, ReasonProvider, ReasonWebhook,
		ReasonNoPolicies, ReasonInvalidPolicies, ReasonRules, ReasonTemplateRefused, ReasonTemplateNotTaken,
		ReasonProviderNotReady, ReasonConstraintRefused, ReasonNotEnforced, ReasonObjectRefused,
	}
}

func warnings() []Reason {
	return []Reason{WarningFailsOpen, WarningShortTimeout, WarningNoMTLS, WarningUnpinned, WarningDeniesNone, WarningMatchesNone}
}

// eventReason is the reason as Events spell theirs.
func (r Reason) eventReason() string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(r), "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// Problem is one of them, in words.
type Problem struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
}

func (p Problem) String() string { return string(p.Reason) + ": " + p.Message }

// problems collects them. Of one reason the first says enough.
type problems []Problem

func (p *problems) add(r Reason, format string, args ...any) {
	if !p.has(r) {
		*p = append(*p, Problem{Reason: r, Message: cut(fmt.Sprintf(format, args...))})
	}
}

func (p problems) has(r Reason) bool {
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
