// Package check decides from what is there, without asking anybody, whether something of
// an installation is as it should be. The replica that installs and `provider doctor`
// decide by it, so that no two codes judge one thing.
package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/webhooks"
)

// Commands are the beginnings of those that mend a release, up to --set.
type Commands struct {
	Gatekeeper, Imagegate string
}

// ignoreLabelHook guards Gatekeeper's own label and judges no Pod.
const ignoreLabelHook = "check-ignore-label"

// Judges are the webhooks of Gatekeeper's configuration that judge Pods.
func Judges(c webhooks.Configuration) []webhooks.Hook {
	return slices.DeleteFunc(slices.Clone(c.Hooks), func(h webhooks.Hook) bool { return strings.HasPrefix(h.Name, ignoreLabelHook) })
}

// Judging says by what Gatekeeper's validating webhooks let Pods through that they should
// not. providerTimeout is the Provider object's, in seconds. A configuration without
// webhooks is nobody's and has nothing said of it.
func Judging(c webhooks.Configuration, providerTimeout int, mend Commands) (found []finding.Finding) {
	judges := Judges(c)
	if len(judges) == 0 {
		return nil
	}
	object := "ValidatingWebhookConfiguration " + c.Name
	for _, h := range judges {
		if h.FailurePolicy != "Fail" {
			found = append(found, finding.Finding{
				ID: finding.GatekeeperFailsOpen, Severity: finding.Error, Object: object,
				Message: fmt.Sprintf("Gatekeeper's webhook %s has failurePolicy %s: whatever it does not answer in time is admitted without a look", h.Name, h.FailurePolicy),
				Command: mend.Gatekeeper + " --set validatingWebhookFailurePolicy=Fail",
			})
		}
		if least := int64(providerTimeout) + 1; h.Timeout < least {
			found = append(found, finding.Finding{
				ID: finding.GatekeeperShortTimeout, Severity: finding.Error, Object: object,
				Message: fmt.Sprintf("Gatekeeper's webhook %s has timeoutSeconds %d, and the provider may take %d: a question that takes as long is never answered", h.Name, h.Timeout, providerTimeout),
				Command: fmt.Sprintf("%s --set validatingWebhookTimeoutSeconds=%d", mend.Gatekeeper, least+2),
			})
		}
	}
	return append(found, skipped(judges, finding.GatekeeperSkipsPods, object, "Gatekeeper", "are not judged", mend.Gatekeeper)...)
}

// Pinning says by what our mutating webhook leaves images as they are that it should pin.
func Pinning(c webhooks.Configuration, mend Commands) (found []finding.Finding) {
	object := "MutatingWebhookConfiguration " + c.Name
	for _, h := range c.Hooks {
		if h.FailurePolicy == "Ignore" {
			found = append(found, finding.Finding{
				ID: finding.MutatorFailsOpen, Severity: finding.Error, Object: object,
				Message: object + " has failurePolicy Ignore: while the mutator does not answer, a tag is judged by what it means then, and may mean something else on the node",
				Command: mend.Imagegate + " --set webhook.failurePolicy=Fail",
			})
		}
	}
	return append(found, skipped(c.Hooks, finding.MutatorSkipsPods, object, "the mutator", "are not pinned", mend.Imagegate)...)
}

// skipped says which requests none of the webhooks is called for, whatever the namespace.
func skipped(hooks []webhooks.Hook, id finding.ID, object, who, what, mend string) (found []finding.Finding) {
	var missing []string
	for _, r := range webhooks.PodRequests() {
		if !slices.ContainsFunc(hooks, func(h webhooks.Hook) bool { return h.Sees(r) }) {
			missing = append(missing, r.String())
		}
	}
	if len(missing) > 0 {
		found = append(found, finding.Finding{
			ID: id, Severity: finding.Error, Object: object,
			Message: fmt.Sprintf("%s is not called for %s: images that come so %s", who, strings.Join(missing, ", "), what),
			Command: mend,
		})
	}
	for _, h := range hooks {
		if by := h.Narrowed(); by != "" && len(missing) == 0 {
			found = append(found, finding.Finding{
				ID: id, Severity: finding.Warning, Object: object,
				Message: fmt.Sprintf("%s is called only for Pods that pass %s: images of others %s", who, by, what),
				Command: mend,
			})
		}
	}
	return found
}
