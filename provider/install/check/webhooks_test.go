package check

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/webhooks"
)

// hook is one as it should be, changed.
func hook(change func(*webhooks.Hook)) webhooks.Hook {
	h := webhooks.Hook{Name: "validation.gatekeeper.sh", FailurePolicy: "Fail", Timeout: 3, Rules: []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*", "pods/ephemeralcontainers"}},
	}}}
	if change != nil {
		change(&h)
	}
	return h
}

func ids(found []finding.Finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString(string(f.ID) + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestJudging(t *testing.T) {
	label := webhooks.Hook{Name: "check-ignore-label.gatekeeper.sh", FailurePolicy: "Ignore", Timeout: 1}
	for name, c := range map[string]struct {
		hooks []webhooks.Hook
		want  string
	}{
		"none":                  {nil, ""},
		"the label's alone":     {[]webhooks.Hook{label}, ""},
		"as it should be":       {[]webhooks.Hook{hook(nil), label}, ""},
		"fails open":            {[]webhooks.Hook{hook(func(h *webhooks.Hook) { h.FailurePolicy = "Ignore" })}, "gatekeeper_fails_open"},
		"not waited for":        {[]webhooks.Hook{hook(func(h *webhooks.Hook) { h.Timeout = 2 })}, "gatekeeper_short_timeout"},
		"no rules":              {[]webhooks.Hook{hook(func(h *webhooks.Hook) { h.Rules = nil })}, "gatekeeper_skips_pods"},
		"another has the rules": {[]webhooks.Hook{hook(func(h *webhooks.Hook) { h.Rules = nil }), hook(nil)}, ""},
		"a Pod's labels decide": {[]webhooks.Hook{hook(func(h *webhooks.Hook) {
			h.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		})}, "gatekeeper_skips_pods"},
		"an expression decides":    {[]webhooks.Hook{hook(func(h *webhooks.Hook) { h.MatchConditions = []admissionv1.MatchCondition{{Name: "most"}} })}, "gatekeeper_skips_pods"},
		"everything is wrong with": {[]webhooks.Hook{{Name: "a"}}, "gatekeeper_fails_open gatekeeper_short_timeout gatekeeper_skips_pods"},
	} {
		found := Judging(webhooks.Configuration{Name: "vwc", Hooks: c.hooks}, 2, Commands{Gatekeeper: "helm upgrade g"})
		if ids(found) != c.want {
			t.Errorf("%s: %+v", name, found)
		}
		for _, f := range found {
			if f.Object != "ValidatingWebhookConfiguration vwc" || !strings.HasPrefix(f.Command, "helm upgrade g") {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

func TestPinning(t *testing.T) {
	for name, c := range map[string]struct {
		hook webhooks.Hook
		want string
	}{
		"as it should be": {hook(nil), ""},
		"fails open":      {hook(func(h *webhooks.Hook) { h.FailurePolicy = "Ignore" }), "mutator_fails_open"},
		"CREATE only": {hook(func(h *webhooks.Hook) {
			h.Rules[0].Operations = []admissionv1.OperationType{admissionv1.Create}
		}), "mutator_skips_pods"},
	} {
		if found := Pinning(webhooks.Configuration{Name: "ours", Hooks: []webhooks.Hook{c.hook}}, Commands{}); ids(found) != c.want {
			t.Errorf("%s: %+v", name, found)
		}
	}
}
