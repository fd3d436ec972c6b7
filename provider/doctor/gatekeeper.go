package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	configv1alpha1 "github.com/open-policy-agent/gatekeeper/v3/apis/config/v1alpha1"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/wildcard"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/webhooks"
)

// matches compares as Gatekeeper does: a * may stand at either end.
func matches(pattern, name string) bool { return wildcard.Wildcard(pattern).Matches(name) }

// commands are those that change the values of the two releases.
func (s *snapshot) commands() check.Commands {
	gatekeeper := s.Gatekeeper
	if gatekeeper == "" {
		gatekeeper = "gatekeeper-system"
	}
	ours := fmt.Sprintf("helm upgrade %s oci://ghcr.io/imagegate/charts/imagegate -n %s", s.Release.Name, s.Release.Namespace)
	if s.Release.Version != "" {
		ours += " --version " + s.Release.Version
	}
	return check.Commands{
		Gatekeeper: "helm upgrade gatekeeper gatekeeper/gatekeeper -n " + gatekeeper + " --reuse-values",
		Imagegate:  ours + " --reset-then-reuse-values",
	}
}

// gatekeeperThere wants a Gatekeeper that judges and can ask.
func gatekeeperThere(s *snapshot) []finding.Finding {
	missing := func(object, message, command string) []finding.Finding {
		return []finding.Finding{{ID: finding.GatekeeperMissing, Severity: finding.Error, Object: object, Message: message, Command: command}}
	}
	switch {
	case s.ExternalData.Done && !s.ExternalData.It:
		return missing("CustomResourceDefinition providers.externaldata.gatekeeper.sh", "there is no Gatekeeper with external data: no Pod is judged",
			"helm install gatekeeper gatekeeper/gatekeeper -n gatekeeper-system --create-namespace --set validatingWebhookFailurePolicy=Fail --set validatingWebhookTimeoutSeconds="+
				strconv.Itoa(s.Release.Timeout+3))
	case s.Judging.Done && (s.Judging.It == nil || len(check.Judges(*s.Judging.It)) == 0):
		return missing("ValidatingWebhookConfiguration "+s.Release.Validating,
			"Gatekeeper has no webhook of that name (gatekeeper.validatingWebhook) that judges Pods: whatever comes in is at most audited",
			s.commands().Gatekeeper+" --set disableValidatingWebhook=false")
	}
	return nil
}

func gatekeeperJudges(s *snapshot) []finding.Finding {
	if s.Judging.It == nil {
		return nil
	}
	return check.Judging(*s.Judging.It, s.Release.Timeout, s.commands())
}

// answersKept is the longest that an answer should be reused: until then neither a new
// vulnerability nor an exception counts. Gatekeeper's own default is three minutes.
const answersKept = 10 * time.Minute

// gatekeeperPods wants one that answers, with the flags that policies need.
func gatekeeperPods(s *snapshot) (found []finding.Finding) {
	if !s.GatekeeperPods.Done || has(gatekeeperThere(s), finding.GatekeeperMissing) {
		return nil
	}
	object := "Pods of Gatekeeper in " + s.Gatekeeper
	ready := 0
	for i := range s.GatekeeperPods.It {
		p := &s.GatekeeperPods.It[i]
		f := flags(p)
		if operations := f["operation"]; len(operations) == 0 || slices.Contains(operations, "webhook") {
			ready += isReady(p)
		}
		if v := last(f["enable-external-data"]); v != "" {
			if on, err := strconv.ParseBool(v); err == nil && !on {
				found = append(found, finding.Finding{
					ID: finding.GatekeeperNoExternalData, Severity: finding.Error, Object: object,
					Message: "Gatekeeper runs with --enable-external-data=" + v + " and asks no provider: its templates cannot be used",
					Command: s.commands().Gatekeeper + " --set enableExternalData=true",
				})
			}
		}
		if v := last(f["external-data-provider-response-cache-ttl"]); v != "" {
			if ttl, err := time.ParseDuration(v); err == nil && ttl > answersKept {
				found = append(found, finding.Finding{
					ID: finding.GatekeeperAnswersKept, Severity: finding.Warning, Object: object,
					Message: "Gatekeeper reuses an answer for " + v + " (--external-data-provider-response-cache-ttl): for so long an image that is rejected meanwhile still gets in",
					Command: s.commands().Gatekeeper + " --set externaldataProviderResponseCacheTTL=3m",
				})
			}
		}
	}
	if ready == 0 {
		found = append(found, finding.Finding{
			ID: finding.GatekeeperNotReady, Severity: finding.Error, Object: object,
			Message: "no Pod of Gatekeeper that answers its webhook is ready: every Pod is denied, or with failurePolicy Ignore let in without a look",
			Command: "kubectl -n " + s.commandNamespace() + " describe pods -l gatekeeper.sh/operation=webhook",
		})
	}
	return found
}

func (s *snapshot) commandNamespace() string {
	if s.Gatekeeper == "" {
		return "gatekeeper-system"
	}
	return s.Gatekeeper
}

// flags are the values of --name=value in a Pod's containers, by name.
func flags(p *corev1.Pod) map[string][]string {
	all := map[string][]string{}
	for _, c := range p.Spec.Containers {
		for _, arg := range slices.Concat(c.Command, c.Args) {
			name, value, ok := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			if ok && strings.HasPrefix(arg, "-") {
				all[name] = append(all[name], value)
			}
		}
	}
	return all
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// isReady is 1 for a Pod that gets requests, else 0.
func isReady(p *corev1.Pod) int {
	if p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}) {
		return 1
	}
	return 0
}

// gatekeeperNamespaces wants every namespace judged but those that are meant not to be.
func gatekeeperNamespaces(s *snapshot) (found []finding.Finding) {
	if !s.Namespaces.Done {
		return nil
	}
	if s.Judging.It != nil {
		f := finding.Finding{
			ID: finding.GatekeeperSkipsNamespaces, Severity: finding.Error, Object: "ValidatingWebhookConfiguration " + s.Judging.It.Name,
			Message: "Gatekeeper is not called for Pods in %s, which its namespaceSelector leaves out", Command: "kubectl edit validatingwebhookconfiguration " + s.Judging.It.Name,
		}
		found = append(found, leftOut(s, check.Judges(*s.Judging.It), f)...)
	}
	if s.Config.It == nil {
		return found
	}
	var config configv1alpha1.Config
	object := "Config " + s.Gatekeeper + "/" + s.Config.It.GetName()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(s.Config.It.Object, &config); err != nil {
		return append(found, unseen(object, "", err))
	}
	var names []string
	for _, ns := range s.Namespaces.It {
		if !s.exempt(ns.Name) && slices.ContainsFunc(config.Spec.Match, func(m configv1alpha1.MatchEntry) bool {
			return (slices.Contains(m.Processes, "*") || slices.Contains(m.Processes, "webhook")) &&
				slices.ContainsFunc(m.ExcludedNamespaces, func(w wildcard.Wildcard) bool { return w.Matches(ns.Name) })
		}) {
			names = append(names, ns.Name)
		}
	}
	if len(names) == 0 {
		return found
	}
	return append(found, finding.Finding{
		ID: finding.GatekeeperSkipsNamespaces, Severity: finding.Error, Object: object,
		Message: "Gatekeeper judges no Pod in " + some(names) + ", which spec.match excludes from its webhook",
		Command: fmt.Sprintf("kubectl -n %s edit configs.config.gatekeeper.sh %s", s.Gatekeeper, s.Config.It.GetName()),
	})
}

// leftOut completes f with the namespaces that none of the webhooks is called for.
func leftOut(s *snapshot, hooks []webhooks.Hook, f finding.Finding) []finding.Finding {
	var names []string
	label := ""
	for _, ns := range s.Namespaces.It {
		if s.exempt(ns.Name) || len(hooks) == 0 {
			continue
		}
		called := false
		for _, h := range hooks {
			yes, err := h.Chooses(ns.Labels)
			if err != nil {
				return []finding.Finding{unseen(f.Object, "", err)}
			}
			called = called || yes
		}
		if !called {
			names = append(names, ns.Name)
			label = hooks[0].KeptOutBy(ns.Labels)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if label != "" {
		f.Command = "kubectl label namespace " + strings.Join(names, " ") + " " + label + "-"
	}
	f.Message = fmt.Sprintf(f.Message, some(names))
	return []finding.Finding{f}
}

// failedOpen reads the API server's own count of what a webhook should have judged.
func failedOpen(s *snapshot) (found []finding.Finding) {
	for _, c := range []*webhooks.Configuration{s.Judging.It, s.Pinning.It} {
		if c == nil {
			continue
		}
		for _, h := range check.Judges(*c) {
			if n := s.FailedOpen.It[h.Name]; n > 0 {
				found = append(found, finding.Finding{
					ID: finding.WebhookFailedOpen, Severity: finding.Warning, Object: c.Kind + " " + c.Name,
					Message: fmt.Sprintf("since it was started, the API server that answered let %s through because webhook %s did not answer", plural(int(n), "request", "requests"), h.Name),
					Command: "kubectl get --raw /metrics | grep ^apiserver_admission_webhook_fail_open_count",
				})
			}
		}
	}
	return found
}

// unseen is the finding of what could not be looked at. right is what RBAC has to
// allow for it; empty: it is not a matter of rights.
func unseen(object, right string, err error) finding.Finding {
	f := finding.Finding{ID: finding.CouldNotLook, Severity: finding.Unknown, Object: object, Message: fmt.Sprintf("could not look at %s: %v", object, err)}
	if right != "" {
		f.Message += " (rights: " + right + ")"
	}
	return f
}
