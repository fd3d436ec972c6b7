// Package finding is what can be wrong with an installation: one closed list of ids
// for the replica that installs, which tells of them by Events and metrics, and for
// `provider doctor`, which looks from outside.
package finding

import "strings"

// ID says what is wrong. The set is closed: it labels metrics, and scripts look for
// it.
type ID string

// What keeps policies from being enforced.
const (
	APIError              ID = "api_error"
	OwnerMissing          ID = "owner_missing"
	GatekeeperMissing     ID = "gatekeeper_missing"
	CertificateMissing    ID = "certificate_missing"
	GatekeeperCAUnknown   ID = "gatekeeper_ca_unknown"
	ProviderObjectRefused ID = "provider_object_refused"
	WebhookNotPatched     ID = "webhook_not_patched"
	PoliciesMissing       ID = "policies_missing"
	PoliciesInvalid       ID = "policies_invalid"
	RulesDoNotCompile     ID = "rules_do_not_compile"
	TemplateRefused       ID = "template_refused"
	TemplateNotTakenIn    ID = "template_not_taken_in"
	ProviderNotReady      ID = "provider_not_ready"
	ConstraintRefused     ID = "constraint_refused"
	ConstraintNotEnforced ID = "constraint_not_enforced"
	ObjectRefused         ID = "object_refused"
)

// What makes the policies other than they look although they are enforced, mostly
// weaker.
const (
	GatekeeperFailsOpen      ID = "gatekeeper_fails_open"
	GatekeeperShortTimeout   ID = "gatekeeper_short_timeout"
	GatekeeperSkipsPods      ID = "gatekeeper_skips_pods"
	ClientsNeedNoCertificate ID = "clients_need_no_certificate"
	MutatorFailsOpen         ID = "mutator_fails_open"
	MutatorSkipsPods         ID = "mutator_skips_pods"
	ConstraintDeniesNothing  ID = "constraint_denies_nothing"
	ConstraintMatchesNoPods  ID = "constraint_matches_no_pods"
	ConstraintRuleIdle       ID = "constraint_rule_idle"
)

// What only who looks from outside can see: the replica that installs has no right to
// it, or is not there.
const (
	// CouldNotLook is no fault of the installation: nobody knows whether there is one.
	CouldNotLook              ID = "could_not_look"
	GatekeeperNotReady        ID = "gatekeeper_not_ready"
	GatekeeperSkipsNamespaces ID = "gatekeeper_skips_namespaces"
	GatekeeperNoExternalData  ID = "gatekeeper_external_data_off"
	GatekeeperAnswersKept     ID = "gatekeeper_keeps_answers_long"
	WebhookFailedOpen         ID = "webhook_failed_open"
	MutatorShortTimeout       ID = "mutator_short_timeout"
	MutatorSkipsNamespaces    ID = "mutator_skips_namespaces"
	MutatorOverruled          ID = "mutator_overruled"
	ProviderObjectMissing     ID = "provider_object_missing"
	ProviderObjectDiffers     ID = "provider_object_differs"
	ProviderShortTimeout      ID = "provider_short_timeout"
	ConstraintMissing         ID = "constraint_missing"
	ConstraintSkipsNamespaces ID = "constraint_skips_namespaces"
	InstallerMissing          ID = "installer_missing"
	PartNotReady              ID = "part_not_ready"
	CertificateExpires        ID = "certificate_expires"
	DatabaseOld               ID = "database_old"
)

// Problems are those of the replica that installs that keep policies from being
// enforced.
func Problems() []ID {
	return []ID{
		APIError, OwnerMissing, GatekeeperMissing, CertificateMissing, GatekeeperCAUnknown, ProviderObjectRefused, WebhookNotPatched,
		PoliciesMissing, PoliciesInvalid, RulesDoNotCompile, TemplateRefused, TemplateNotTakenIn,
		ProviderNotReady, ConstraintRefused, ConstraintNotEnforced, ObjectRefused,
	}
}

// Warnings are those of the replica that installs that only weaken them.
func Warnings() []ID {
	return []ID{
		GatekeeperFailsOpen, GatekeeperShortTimeout, GatekeeperSkipsPods, ClientsNeedNoCertificate,
		MutatorFailsOpen, MutatorSkipsPods, ConstraintDeniesNothing, ConstraintMatchesNoPods,
		ConstraintRuleIdle,
	}
}

// FromOutside are those that `provider doctor` has beside both.
func FromOutside() []ID {
	return []ID{
		CouldNotLook, GatekeeperNotReady, GatekeeperSkipsNamespaces, GatekeeperNoExternalData, GatekeeperAnswersKept, WebhookFailedOpen,
		MutatorShortTimeout, MutatorSkipsNamespaces, MutatorOverruled, ProviderObjectMissing, ProviderObjectDiffers, ProviderShortTimeout,
		ConstraintMissing, ConstraintSkipsNamespaces, InstallerMissing, PartNotReady, CertificateExpires, DatabaseOld,
	}
}

// EventReason is the id as Events spell their reasons.
func (id ID) EventReason() string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(id), "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// Severity is how bad it is.
type Severity string

// The severities.
const (
	// Error: Pods get in that nobody has judged, or none do.
	Error Severity = "error"
	// Warning: it holds now, and is weaker than it looks or will not hold for long.
	Warning Severity = "warning"
	// Unknown: it could not be looked at, which is no good news.
	Unknown Severity = "unknown"
)

// Finding is one thing that is wrong.
type Finding struct {
	ID       ID       `json:"id"`
	Severity Severity `json:"severity"`
	// Object is the kind and name of what is wrong, with its namespace where it has
	// one: "Provider imagegate-provider".
	Object string `json:"object"`
	// Message is one sentence, without a full stop.
	Message string `json:"message"`
	// Command mends it, or shows what a person has to decide; empty: there is none.
	Command string `json:"command,omitempty"`
}

// Text is the finding where nobody has a table: the sentence, and how to mend it.
func (f Finding) Text() string {
	if f.Command == "" {
		return f.Message
	}
	return f.Message + ". " + f.Command
}
