// Package webhooks reads configurations of admission webhooks, Gatekeeper's, ours and
// others', as far as they decide which Pods are seen and what happens when nobody
// answers. The leader and `provider doctor` read them by it.
package webhooks

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// Configuration is a ValidatingWebhookConfiguration or a MutatingWebhookConfiguration.
type Configuration struct {
	// Kind is empty where the object does not say it.
	Kind, Name string
	Hooks      []Hook
}

// Hook is one webhook of it.
type Hook struct {
	Name string
	// Namespace and Service are where it is called; empty where a URL is.
	Namespace, Service string
	// Bundle is the PEM of the CAs that its certificate is verified by.
	Bundle []byte
	// FailurePolicy is Fail or Ignore.
	FailurePolicy string
	// Timeout in seconds.
	Timeout           int64
	Rules             []admissionv1.RuleWithOperations
	NamespaceSelector *metav1.LabelSelector
	ObjectSelector    *metav1.LabelSelector
	MatchConditions   []admissionv1.MatchCondition
	// Reinvoked says that a mutating webhook is called again when a later one has
	// changed the object.
	Reinvoked bool
}

// Read reads either kind. The error says what of the object is of another form than the
// API server's.
func Read(u *unstructured.Unstructured) (Configuration, error) {
	// A validating webhook has what a mutating one has but for the reinvocation.
	var typed admissionv1.MutatingWebhookConfiguration
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &typed); err != nil {
		return Configuration{}, fmt.Errorf("reading %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	c := Configuration{Kind: u.GetKind(), Name: u.GetName()}
	for i := range typed.Webhooks {
		w := &typed.Webhooks[i]
		h := Hook{
			Name: w.Name, Bundle: w.ClientConfig.CABundle, Rules: w.Rules, MatchConditions: w.MatchConditions,
			NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector,
		}
		if w.ClientConfig.Service != nil {
			h.Namespace, h.Service = w.ClientConfig.Service.Namespace, w.ClientConfig.Service.Name
		}
		if w.FailurePolicy != nil {
			h.FailurePolicy = string(*w.FailurePolicy)
		}
		if w.TimeoutSeconds != nil {
			h.Timeout = int64(*w.TimeoutSeconds)
		}
		h.Reinvoked = w.ReinvocationPolicy != nil && *w.ReinvocationPolicy == admissionv1.IfNeededReinvocationPolicy
		c.Hooks = append(c.Hooks, h)
	}
	return c, nil
}

// Request is a kind of admission request about Pods.
type Request struct {
	Operation admissionv1.OperationType
	// Resource is pods, or a subresource of it.
	Resource string
}

// String is the request as people write it.
func (r Request) String() string { return string(r.Operation) + " of " + r.Resource }

// PodRequests are those by which images come into a Pod.
func PodRequests() []Request {
	return []Request{
		{admissionv1.Create, "pods"}, {admissionv1.Update, "pods"}, {admissionv1.Update, "pods/ephemeralcontainers"},
	}
}

// Sees reports whether the webhook's rules have the request, whatever its selectors say.
func (h Hook) Sees(r Request) bool {
	return slices.ContainsFunc(h.Rules, func(rule admissionv1.RuleWithOperations) bool {
		return (slices.Contains(rule.Operations, r.Operation) || slices.Contains(rule.Operations, admissionv1.OperationAll)) &&
			(slices.Contains(rule.APIGroups, "") || slices.Contains(rule.APIGroups, "*")) &&
			(slices.Contains(rule.APIVersions, "v1") || slices.Contains(rule.APIVersions, "*")) &&
			(rule.Scope == nil || *rule.Scope != admissionv1.ClusterScope) &&
			slices.ContainsFunc(rule.Resources, func(pattern string) bool { return names(pattern, r.Resource) })
	})
}

// names reports whether a rule's resource is the one: * is all but subresources.
func names(pattern, resource string) bool {
	of, sub, _ := strings.Cut(pattern, "/")
	wantOf, wantSub, _ := strings.Cut(resource, "/")
	return (of == wantOf || of == "*") && (sub == wantSub || sub == "*" && wantSub != "" || pattern == "*/*")
}

// Chooses reports whether the webhook is called for what is in a namespace with those
// labels.
func (h Hook) Chooses(namespace map[string]string) (bool, error) {
	return selects(h.NamespaceSelector, namespace)
}

func selects(s *metav1.LabelSelector, set map[string]string) (bool, error) {
	if s == nil {
		return true, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return false, fmt.Errorf("reading a selector: %w", err)
	}
	return selector.Matches(labels.Set(set)), nil
}

// KeptOutBy returns the key of a label whose mere presence on the namespace keeps the
// webhook from being called; empty: it is something else, or nothing.
func (h Hook) KeptOutBy(namespace map[string]string) string {
	if h.NamespaceSelector == nil {
		return ""
	}
	for _, e := range h.NamespaceSelector.MatchExpressions {
		if _, has := namespace[e.Key]; has && e.Operator == metav1.LabelSelectorOpDoesNotExist {
			return e.Key
		}
	}
	return ""
}

// Narrowed says by what the webhook leaves Pods out whatever namespace they are in;
// empty: by nothing. What a Pod's author writes may decide it then.
func (h Hook) Narrowed() string {
	var by []string
	if s := h.ObjectSelector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 {
		by = append(by, "its objectSelector "+metav1.FormatLabelSelector(s))
	}
	for _, c := range h.MatchConditions {
		by = append(by, "its matchCondition "+c.Name)
	}
	return strings.Join(by, " and ")
}
