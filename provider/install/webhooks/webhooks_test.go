package webhooks

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// read reads one webhook of these fields.
func read(t *testing.T, fields string) Hook {
	t.Helper()
	u := &unstructured.Unstructured{}
	text := "kind: MutatingWebhookConfiguration\nmetadata: {name: a}\nwebhooks: [{name: b.c.d, " + fields + "}]"
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	c, err := Read(u)
	if err != nil || len(c.Hooks) != 1 || c.Name != "a" || c.Kind != "MutatingWebhookConfiguration" {
		t.Fatalf("%+v, %v", c, err)
	}
	return c.Hooks[0]
}

func TestSees(t *testing.T) {
	ephemeral := Request{admissionv1.Update, "pods/ephemeralcontainers"}
	create := Request{admissionv1.Create, "pods"}
	for rule, c := range map[string]struct {
		r    Request
		sees bool
	}{
		`{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}`:                         {create, true},
		`{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}`:                           {create, true},
		`{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"], scope: Namespaced}`:        {create, true},
		`{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"], scope: Cluster}`:           {create, false},
		`{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [pods]}`:                       {create, false},
		`{apiGroups: [""], apiVersions: [v1beta1], operations: [CREATE], resources: [pods]}`:                    {create, false},
		`{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [pods]}`:                         {create, false},
		`{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods/*]}`:                       {create, false},
		`{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: ["*"]}`:                          {ephemeral, false},
		`{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: ["*/*"]}`:                        {ephemeral, true},
		`{apiGroups: ["", apps], apiVersions: [v1], operations: [CREATE], resources: ["*/*"]}`:                  {create, true},
		`{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [pods/*]}`:                       {ephemeral, true},
		`{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: ["*/ephemeralcontainers"]}`:      {ephemeral, true},
		`{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [pods, pods/exec, nodes/proxy]}`: {ephemeral, false},
	} {
		if got := read(t, "rules: ["+rule+"]").Sees(c.r); got != c.sees {
			t.Errorf("%s: sees %s: %t", rule, c.r, got)
		}
	}
}

func TestSelectors(t *testing.T) {
	h := read(t, `namespaceSelector: {matchExpressions: [{key: out, operator: DoesNotExist}, {key: name, operator: NotIn, values: [a]}]}`)
	for label, c := range map[string]struct {
		called bool
		by     string
	}{"name=b": {true, ""}, "name=a": {false, ""}, "out=": {false, "out"}} {
		key, value, _ := strings.Cut(label, "=")
		set := map[string]string{key: value}
		if called, err := h.Chooses(set); err != nil || called != c.called || h.KeptOutBy(set) != c.by {
			t.Errorf("%s: called %t, kept out by %q, %v", label, called, h.KeptOutBy(set), err)
		}
	}
	if _, err := read(t, `namespaceSelector: {matchExpressions: [{key: a, operator: Sometimes}]}`).Chooses(nil); err == nil {
		t.Error("an operator that nobody knows is taken")
	}
	if by := read(t, `objectSelector: {}, namespaceSelector: {}`).Narrowed(); by != "" {
		t.Error(by)
	}
	if by := read(t, `objectSelector: {matchLabels: {a: b}}, matchConditions: [{name: most, expression: "true"}]`).Narrowed(); by != "its objectSelector a=b and its matchCondition most" {
		t.Error(by)
	}
}

func TestWhereItIsCalled(t *testing.T) {
	h := read(t, `failurePolicy: Ignore, timeoutSeconds: 7, reinvocationPolicy: IfNeeded, clientConfig: {caBundle: YWJj, service: {namespace: there, name: it}}`)
	if h.FailurePolicy != "Ignore" || h.Timeout != 7 || !h.Reinvoked || string(h.Bundle) != "abc" || h.Namespace != "there" || h.Service != "it" {
		t.Errorf("%+v", h)
	}
	if _, err := Read(&unstructured.Unstructured{Object: map[string]any{"webhooks": "none"}}); err == nil {
		t.Error("webhooks that are a text are taken")
	}
}
