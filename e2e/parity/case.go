// Package parity runs one table of admission cases two ways: through the real
// Gatekeeper of a test cluster, and through `provider review`, which has no
// cluster. It exists because `provider review` promises the same results as Gatekeeper.
package parity

import (
	"fmt"
	"maps"
	"slices"
)

// Table is all cases and the templates that were made for them.
type Table struct {
	Templates []Template
	Cases     []Case
}

// Template is a ConstraintTemplate that `provider template` makes of a user's
// own rules.
type Template struct {
	Kind string `json:"kind"`
	// Rules is a file, as a path from the repository's root; Source is the text
	// itself. One of them is given.
	Rules  string `json:"rules"`
	Source string `json:"source"`
	// ScanRules appends the rules to the image scan policy.
	ScanRules bool `json:"scanRules"`
}

// Case is one request, what it is judged by, and what must come of it.
type Case struct {
	Name string `json:"name"`
	// The first constraint is named as the case, further ones <name>-2, -3...
	Constraint
	More []Constraint `json:"more"`

	// Namespace is parity-<name> unless given; <ns> stands for it everywhere.
	Namespace       string            `json:"namespace"`
	NamespaceLabels map[string]string `json:"namespaceLabels"`
	// Expansion is how the repository's ExpansionTemplates apply: not at all
	// when empty, "deny" as they are, "warn" as templates/expansion-warn.
	Expansion string `json:"expansion"`

	// As and Groups are who sends the request; the cluster's administrator
	// where they are empty, which no rule may show.
	As     string   `json:"as"`
	Groups []string `json:"groups"`

	// Images is a Pod of a container for each; Object is anything else. With
	// Old the request is an update of it, of SubResource if given.
	Images      []string       `json:"images"`
	Object      map[string]any `json:"object"`
	Old         map[string]any `json:"old"`
	SubResource string         `json:"subResource"`

	// Reports is what the provider knows, in the form of a reports file.
	// Answers is, instead, what it sends word by word.
	Reports     []map[string]any `json:"reports"`
	SystemError string           `json:"systemError"`
	Answers     []Answer         `json:"answers"`

	// Deny, Warn and DryRun are all the messages, without the constraint's
	// name. Scanned, if given, is which images the provider is asked about.
	Deny    []string `json:"deny"`
	Warn    []string `json:"warn"`
	DryRun  []string `json:"dryrun"`
	Scanned []string `json:"scanned"`
	// Keys, if given, is what Gatekeeper sends to the provider word by word.
	Keys []string `json:"keys"`
	// Refused is a part of what is said of a constraint that cannot even be
	// applied.
	Refused string `json:"refused"`
}

// Constraint is a constraint of a case. Match is completed with the kind Pod and
// the case's namespace.
type Constraint struct {
	Kind       string         `json:"kind"`
	Action     string         `json:"action"` // deny unless given
	Scoped     []any          `json:"scoped"` // scopedEnforcementActions
	Match      map[string]any `json:"match"`
	Parameters map[string]any `json:"parameters"`
}

// Answer is one item of a provider's response.
type Answer struct {
	Image string `json:"image"`
	// Suffix is added to the key that was asked for.
	Suffix string `json:"suffix"`
	Value  any    `json:"value"`
	Error  string `json:"error"`
}

// providerName is the Provider object that all cases use.
const providerName = "parity"

// withoutProvider are the kinds that ask nobody.
var withoutProvider = []string{"ImageDigestRequired", "ImageRegistryAllowed"}

// constraints returns the case's constraints as manifests.
func (c Case) constraints() []map[string]any {
	var out []map[string]any
	for i, k := range append([]Constraint{c.Constraint}, c.More...) {
		name := c.Name
		if i > 0 {
			name = fmt.Sprintf("%s-%d", c.Name, i+1)
		}
		out = append(out, c.manifest(k, name))
	}
	return out
}

func (c Case) manifest(k Constraint, name string) map[string]any {
	match := map[string]any{
		"kinds":      []any{map[string]any{"apiGroups": []any{""}, "kinds": []any{"Pod"}}},
		"namespaces": []any{c.Namespace},
	}
	maps.Copy(match, k.Match)
	parameters := maps.Clone(k.Parameters)
	if parameters == nil {
		parameters = map[string]any{}
	}
	if _, given := parameters["provider"]; !given && !slices.Contains(withoutProvider, k.Kind) {
		parameters["provider"] = providerName
	}
	action := k.Action
	if action == "" {
		action = "deny"
	}
	spec := map[string]any{"enforcementAction": action, "match": match, "parameters": parameters}
	if k.Scoped != nil {
		spec["scopedEnforcementActions"] = k.Scoped
	}
	return map[string]any{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1",
		"kind":       k.Kind,
		"metadata":   map[string]any{"name": name},
		"spec":       spec,
	}
}

// object returns what the request creates or changes.
func (c Case) object() map[string]any {
	if c.Object != nil {
		return c.Object
	}
	var containers []any
	for i, image := range c.Images {
		containers = append(containers, map[string]any{"name": fmt.Sprintf("c%d", i+1), "image": image})
	}
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Pod",
		"metadata":   map[string]any{"name": "app"},
		"spec":       map[string]any{"containers": containers},
	}
}

func (c Case) namespaceObject() map[string]any {
	labels := map[string]any{}
	for k, v := range c.NamespaceLabels {
		labels[k] = v
	}
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Namespace",
		"metadata":   map[string]any{"name": c.Namespace, "labels": labels},
	}
}
