package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/match"
	mutationtypes "github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install/bypod"
	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/templates"
)

// constraints wants those that are there to be enforced, to deny, and to be about every
// namespace that is meant to be judged.
func constraints(s *snapshot) (found []finding.Finding) {
	if !s.Constraints.Done || !s.ExternalData.It {
		return nil
	}
	list := s.Constraints.It
	if len(list) == 0 {
		if s.Release.Policies && len(s.Leader) > 0 {
			return nil // whoever installs them says why there is none
		}
		return []finding.Finding{{
			ID: finding.ConstraintMissing, Severity: finding.Error, Object: "Constraints",
			Message: "there is no Constraint that asks the provider: no Pod is judged by its images", Command: s.policies(),
		}}
	}
	denies := slices.ContainsFunc(list, func(u unstructured.Unstructured) bool { return check.Denies(&u) && templates.MatchesPods(&u) })
	for i := range list {
		u := &list[i]
		for _, f := range check.Constraint(u) {
			// One that warns beside one that denies is being introduced.
			if !denies && f.ID != finding.ConstraintRuleIdle {
				f.Severity = finding.Error
			}
			f.Command = s.policies()
			found = append(found, f)
		}
		for _, said := range bypod.Read(u) {
			if said.Off || said.Problems != "" {
				found = append(found, finding.Finding{
					ID: finding.ConstraintNotEnforced, Severity: finding.Error, Object: u.GetKind() + " " + u.GetName(),
					Message: fmt.Sprintf("Gatekeeper Pod %s does not enforce %s %s: %s", said.Pod, u.GetKind(), u.GetName(), orNothing(said.Problems)),
					Command: fmt.Sprintf("kubectl describe %s.constraints.gatekeeper.sh %s", strings.ToLower(u.GetKind()), u.GetName()),
				})
			}
		}
	}
	if !denies {
		return found
	}
	return append(found, uncovered(s, list)...)
}

func orNothing(says string) string {
	if says == "" {
		return "it does not say why"
	}
	return says
}

// policies shows where they are written.
func (s *snapshot) policies() string {
	if s.Release.Policies {
		return s.commands().Imagegate + " --set policies.enforcementAction=deny"
	}
	return "kubectl get constraints -o yaml"
}

// uncovered are namespaces where no Constraint that denies is about an ordinary Pod.
func uncovered(s *snapshot, list []unstructured.Unstructured) []finding.Finding {
	if !s.Namespaces.Done {
		return nil
	}
	var names []string
	meant := 0
	for i := range s.Namespaces.It {
		ns := &s.Namespaces.It[i]
		if s.exempt(ns.Name) {
			continue
		}
		meant++
		covered := false
		for j := range list {
			u := &list[j]
			if !check.Denies(u) {
				continue
			}
			yes, err := about(u, ns)
			if err != nil {
				return []finding.Finding{unseen(u.GetKind()+" "+u.GetName(), "", err)}
			}
			covered = covered || yes
		}
		if !covered {
			names = append(names, ns.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	f := finding.Finding{
		ID: finding.ConstraintSkipsNamespaces, Severity: finding.Warning, Object: "Constraints",
		Message: "no Constraint that denies is about an ordinary Pod in " + some(names), Command: "kubectl get constraints -o jsonpath='{range .items[*]}{.kind} {.metadata.name} {.spec.match}{\"\\n\"}{end}'",
	}
	if len(names) == meant {
		f.Severity = finding.Error
	}
	return []finding.Finding{f}
}

// about reports whether a Constraint's match has a Pod without labels in the namespace.
func about(u *unstructured.Unstructured, ns *corev1.Namespace) (bool, error) {
	spec, _, _ := unstructured.NestedMap(u.Object, "spec", "match")
	text, err := json.Marshal(spec)
	if err != nil {
		return false, fmt.Errorf("reading spec.match: %w", err)
	}
	var m match.Match
	if err := json.Unmarshal(text, &m); err != nil {
		return false, fmt.Errorf("reading spec.match: %w", err)
	}
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "any", Namespace: ns.Name}}
	return match.Matches(&m, &match.Matchable{Object: pod, Namespace: ns, Source: mutationtypes.SourceTypeOriginal})
}

// templatesTaken wants Gatekeeper to use the templates of the Constraints.
func templatesTaken(s *snapshot) (found []finding.Finding) {
	for i := range s.Templates.It {
		u := &s.Templates.It[i]
		object := "ConstraintTemplate " + u.GetName()
		f := finding.Finding{Severity: finding.Error, Object: object, Command: "kubectl describe constrainttemplate " + u.GetName()}
		said := bypod.Read(u)
		if len(said) == 0 {
			f.ID, f.Message = finding.TemplateNotTakenIn, "no Gatekeeper Pod has taken "+object+" in: its Constraints judge nothing"
			found = append(found, f)
		}
		for _, pod := range said {
			if pod.Problems != "" {
				f.ID, f.Message = finding.TemplateRefused, fmt.Sprintf("Gatekeeper Pod %s refuses %s: %s", pod.Pod, object, pod.Problems)
				found = append(found, f)
			}
		}
	}
	return found
}
