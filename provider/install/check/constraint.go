package check

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/templates"
)

// Constraint says why a Constraint denies nothing although it is enforced, and which of
// its rules can never decide. Its command
// is nobody's here: where the Constraint is written decides.
func Constraint(u *unstructured.Unstructured) (found []finding.Finding) {
	name := u.GetKind() + " " + u.GetName()
	if !templates.MatchesPods(u) {
		found = append(found, finding.Finding{
			ID: finding.ConstraintMatchesNoPods, Severity: finding.Warning, Object: name,
			Message: name + ` matches no Pods: write its match.kinds as [{apiGroups: [""], kinds: [Pod]}]`,
		})
	}
	if !Denies(u) {
		action, _, _ := unstructured.NestedString(u.Object, "spec", "enforcementAction")
		found = append(found, finding.Finding{
			ID: finding.ConstraintDeniesNothing, Severity: finding.Warning, Object: name,
			Message: fmt.Sprintf("%s has enforcementAction %s: it says what is wrong with a Pod, and lets it in", name, action),
		})
	}
	for _, idle := range templates.IdleRules(u) {
		found = append(found, finding.Finding{
			ID: finding.ConstraintRuleIdle, Severity: finding.Warning, Object: name, Message: name + ": " + idle,
		})
	}
	return found
}

// Denies reports whether a Constraint denies anything at admission. Without an action
// it does; with scoped ones, where one of them does.
func Denies(constraint *unstructured.Unstructured) bool {
	action, _, _ := unstructured.NestedString(constraint.Object, "spec", "enforcementAction")
	if action != "scoped" {
		return action == "" || action == "deny"
	}
	scoped, _, _ := unstructured.NestedSlice(constraint.Object, "spec", "scopedEnforcementActions")
	return slices.ContainsFunc(scoped, func(s any) bool {
		m, _ := s.(map[string]any)
		points, _, _ := unstructured.NestedSlice(m, "enforcementPoints")
		return m["action"] == "deny" && slices.ContainsFunc(points, func(p any) bool {
			point, _ := p.(map[string]any)
			return point["name"] == "validation.gatekeeper.sh" || point["name"] == "*"
		})
	})
}
