// Package policy turns what an operator writes, in the spelling of the article and
// of its successor, into the Gatekeeper objects that enforce it. It reads no
// cluster.
//
// The article is "Performing Image Scanning on Admission Controller with OPA",
// https://sysdig.com/blog/image-scanning-admission-controller/
package policy

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/strict"
	"github.com/imagegate/imagegate/templates"
)

// Policies is the file of policies.
type Policies struct {
	// Name of the Constraint. Default imagegate.
	Name string `json:"name,omitempty"`
	// EnforcementAction is deny (default), warn or dryrun.
	EnforcementAction string `json:"enforcementAction,omitempty"`
	// ExemptNamespaces are judged by nothing here, beside those that never are:
	// imagegate's own, Gatekeeper's, kube-system, kube-node-lease and kube-public.
	// A * may stand at the beginning or the end.
	ExemptNamespaces []string `json:"exemptNamespaces,omitempty"`
	// Match is put into the Constraint's spec.match; kinds default to Pod, and
	// excludedNamespaces are added to.
	Match map[string]any `json:"match,omitempty"`
	// ScanRules, PreScanPolicies and ScanPolicies are parameters of ImageScanPolicy,
	// with autoGenerate and byNamespace in them.
	ScanRules       map[string]any `json:"scanRules,omitempty"`
	PreScanPolicies map[string]any `json:"preScanPolicies,omitempty"`
	ScanPolicies    map[string]any `json:"scanPolicies,omitempty"`
	// PreCustomRules and CustomRules are Rego: allow_pod and deny_pod, deny_image.
	PreCustomRules string `json:"preCustomRules,omitempty"`
	CustomRules    string `json:"customRules,omitempty"`
	// Parameters are further ones of ImageScanPolicy: help, view, keyContext,
	// breakGlass.
	Parameters map[string]any `json:"parameters,omitempty"`
	// Objects are applied as they are, after the templates: Constraints of our kinds,
	// ConstraintTemplates, ExpansionTemplates, mutators.
	Objects []map[string]any `json:"objects,omitempty"`
}

// Surroundings are what the policies' author need not know.
type Surroundings struct {
	// Namespace is our own, GatekeeperNamespace Gatekeeper's; empty: unknown.
	Namespace, GatekeeperNamespace string
	// Provider is the name of the Provider object.
	Provider string
}

// Objects are what the policies come to.
type Objects struct {
	// Templates are ConstraintTemplates.
	Templates []*unstructured.Unstructured
	// Generated is the Constraint of the image scan policy; nil where no rules are
	// generated.
	Generated *unstructured.Unstructured
	// Own is the Constraint of one's own rules, in which the generated ones are too:
	// with it, Generated is not needed. Nil where there are none.
	Own *unstructured.Unstructured
	// OwnTemplate is its template; nil where Own is, or where Problem says why the
	// rules cannot be used.
	OwnTemplate *unstructured.Unstructured
	Problem     error
	// Further are the objects that were given.
	Further []*unstructured.Unstructured
}

const (
	defaultName = "imagegate"
	// defaultProvider is the templates' own.
	defaultProvider = "imagegate-provider"
	// GeneratedKind is the kind of the Constraint of generated rules alone.
	GeneratedKind = "ImageScanPolicy"
	// OwnKind is the kind of the Constraint of one's own rules.
	OwnKind = "ImagegateRules"
	// OwnTemplate is the name of the template of OwnKind.
	OwnTemplate = "imagegaterules"
)

// MaxBytes bounds the file, well above what the API server stores.
const MaxBytes = 2 << 20

// Parse reads a file of policies. Every mistake is an error that says where.
func Parse(text []byte) (*Policies, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("the policies are over %d bytes", MaxBytes)
	}
	p := &Policies{}
	if err := strict.YAML(text, p); err != nil {
		return nil, fmt.Errorf("reading the policies: %w", err)
	}
	if p.Name == "" {
		p.Name = defaultName
	}
	if p.EnforcementAction == "" {
		p.EnforcementAction = "deny"
	}
	return p, p.check()
}

func (p *Policies) check() error {
	var errs []error
	if problems := validation.IsDNS1123Subdomain(p.Name); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("name %q: %s", p.Name, problems[0]))
	}
	if !slices.Contains([]string{"deny", "warn", "dryrun"}, p.EnforcementAction) {
		errs = append(errs, fmt.Errorf("enforcementAction %q is not deny, warn or dryrun", p.EnforcementAction))
	}
	if p.ScanRules != nil && (p.ScanPolicies != nil || p.PreScanPolicies != nil) {
		errs = append(errs, errors.New("scanRules cannot be given together with scanPolicies and preScanPolicies, which say the same"))
	}
	for _, name := range []string{"scanRules", "scanPolicies", "preScanPolicies", "provider"} {
		if _, ok := p.Parameters[name]; ok {
			errs = append(errs, fmt.Errorf("parameters.%s: it has a place of its own", name))
		}
	}
	for i, o := range p.Objects {
		u := unstructured.Unstructured{Object: o}
		switch {
		case !Known(u.GetAPIVersion(), u.GetKind()):
			errs = append(errs, fmt.Errorf("objects[%d]: %s %s is none of what is installed with the policies: %s", i, u.GetAPIVersion(), u.GetKind(), kindNames()))
		case u.GetName() == "":
			errs = append(errs, fmt.Errorf("objects[%d]: metadata.name is missing", i))
		case u.GetNamespace() != "":
			errs = append(errs, fmt.Errorf("objects[%d]: metadata.namespace: such objects have none", i))
		}
	}
	return errors.Join(errs...)
}

// Make returns the objects. The error is one of this program's, not of the
// policies.
func (p *Policies) Make(s Surroundings) (*Objects, error) {
	out := &Objects{}
	names, err := templates.Policies()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := templates.Generated(name)
		if err != nil {
			return nil, err
		}
		u, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
		out.Templates = append(out.Templates, u)
	}
	if p.generates() {
		out.Generated = p.constraint(GeneratedKind, s)
	}
	options := templates.CustomOptions{Kind: OwnKind, ScanRules: true}
	rules, err := templates.JoinRules(options,
		templates.Rules{File: "preCustomRules", Text: []byte(p.PreCustomRules)},
		templates.Rules{File: "customRules", Text: []byte(p.CustomRules)})
	switch {
	case err != nil:
		out.Problem = err
	case len(rules) > 0:
		options.File = "customRules"
		text, err := templates.Custom(rules, options)
		if err != nil {
			out.Problem = err
			break
		}
		if out.OwnTemplate, err = decode(text); err != nil {
			return nil, err
		}
	}
	if out.Problem != nil || out.OwnTemplate != nil {
		out.Own = p.constraint(OwnKind, s)
	}
	for _, o := range p.Objects {
		out.Further = append(out.Further, (&unstructured.Unstructured{Object: o}).DeepCopy())
	}
	return out, nil
}

// generates says whether there are generated rules that judge reports: with
// autoGenerate off the policy alone would refuse every Pod.
func (p *Policies) generates() bool {
	section := p.ScanPolicies
	if p.ScanRules != nil {
		section = p.ScanRules
	}
	on, ok := section["autoGenerate"].(bool)
	return !ok || on
}

func (p *Policies) constraint(kind string, s Surroundings) *unstructured.Unstructured {
	parameters := map[string]any{}
	for name, value := range p.Parameters {
		parameters[name] = value
	}
	for name, section := range map[string]map[string]any{
		"scanRules": p.ScanRules, "preScanPolicies": p.PreScanPolicies, "scanPolicies": p.ScanPolicies,
	} {
		if section != nil {
			parameters[name] = section
		}
	}
	if s.Provider != defaultProvider {
		parameters["provider"] = s.Provider
	}
	match := map[string]any{"kinds": []any{map[string]any{"apiGroups": []any{""}, "kinds": []any{"Pod"}}}}
	for name, value := range p.Match {
		match[name] = value
	}
	given, _ := match["excludedNamespaces"].([]any)
	match["excludedNamespaces"] = p.exempt(given, s)
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1",
		"kind":       kind,
		"metadata":   map[string]any{"name": p.Name},
		"spec":       map[string]any{"enforcementAction": p.EnforcementAction, "match": match, "parameters": parameters},
	}}
	return u.DeepCopy()
}

// exempt lists each namespace once: those that never are judged, for nothing there
// could start again when nobody answers, and the given ones.
func (p *Policies) exempt(given []any, s Surroundings) []any {
	var list []any
	add := func(name string) {
		if name != "" && !slices.Contains(list, any(name)) {
			list = append(list, name)
		}
	}
	for _, name := range []string{"kube-system", "kube-node-lease", "kube-public", s.Namespace, s.GatekeeperNamespace} {
		add(name)
	}
	for _, name := range p.ExemptNamespaces {
		add(name)
	}
	for _, name := range given {
		text, _ := name.(string)
		add(text)
	}
	return list
}

// Exempts are the namespaces that nothing here judges, as the generated Constraint
// excludes them.
func (p *Policies) Exempts(s Surroundings) []string {
	given, _ := p.Match["excludedNamespaces"].([]any)
	var names []string
	for _, name := range p.exempt(given, s) {
		text, _ := name.(string)
		names = append(names, text)
	}
	return names
}

func decode(text []byte) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &u.Object); err != nil {
		return nil, fmt.Errorf("reading a generated object: %w", err)
	}
	return u, nil
}
