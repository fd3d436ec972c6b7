package review

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apiconstraints "github.com/open-policy-agent/frameworks/constraint/pkg/apis/constraints"
	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/externaldata/unversioned"
	regoschema "github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego/schema"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	gatekeeper "github.com/open-policy-agent/gatekeeper/v3/apis"
	expansionapi "github.com/open-policy-agent/gatekeeper/v3/apis/expansion/unversioned"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator/reader"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	imagegate "github.com/imagegate/imagegate/templates"
)

// API groups of what a policy directory may hold.
const (
	groupTemplates    = "templates.gatekeeper.sh"
	groupExpansion    = "expansion.gatekeeper.sh"
	groupExternalData = "externaldata.gatekeeper.sh"
	groupMutations    = "mutations.gatekeeper.sh"
)

// Policies is what objects are judged by. The zero value is empty; fill it by
// LoadPolicies or by Add.
type Policies struct {
	templates   []template
	constraints []document
	expansions  []expansionTemplate
	providers   []*unversioned.Provider
	// sketches are ConstraintTemplates without targets, from which generators
	// make whole ones; skipped are the kinds of templates for other engines.
	sketches []document
	skipped  map[string]bool
	mutators int
	notes    []string
}

type template struct {
	document
	parsed *templates.ConstraintTemplate
}

type expansionTemplate struct {
	document
	parsed *expansionapi.ExpansionTemplate
}

// LoadPolicies reads ConstraintTemplates from templateFiles and Constraints
// from constraintFiles; ExpansionTemplates and Providers may be among either. A
// name is a file or a directory that is read with all below it. Constraints
// below templateFiles are not used: there they are samples. Everything else is
// passed over.
func LoadPolicies(templateFiles, constraintFiles []string) (Policies, error) {
	var p Policies
	for _, path := range templateFiles {
		docs, err := readTree(path)
		if err != nil {
			return p, err
		}
		docs = slices.DeleteFunc(docs, func(d document) bool { return groupOf(d) == apiconstraints.Group })
		if err := p.add(docs); err != nil {
			return p, err
		}
	}
	for _, path := range constraintFiles {
		docs, err := readTree(path)
		if err != nil {
			return p, err
		}
		if err := p.add(docs); err != nil {
			return p, err
		}
	}
	return p, p.complete()
}

// complete reports a set of policies that could only let everything pass.
func (p *Policies) complete() error {
	switch {
	case len(p.templates) == 0 && len(p.skipped) > 0:
		return errors.New("no ConstraintTemplate with Rego source among the files")
	case len(p.templates) == 0:
		return errors.New("no ConstraintTemplate among the files")
	case len(p.constraints) == 0:
		return errors.New("no Constraint among the files given as constraints: there is nothing to judge by")
	}
	return nil
}

// Add reads policies from YAML or JSON; source names it in errors.
func (p *Policies) Add(source string, manifests []byte) error {
	docs, err := parseDocuments(source, manifests, false)
	if err != nil {
		return err
	}
	return p.add(docs)
}

// Notes tells what was found among the files but plays no part in a review.
func (p *Policies) Notes() []string {
	notes := slices.Clone(p.notes)
	if p.mutators > 0 {
		notes = append(notes, fmt.Sprintf("mutators (%d) are not applied: a review judges manifests as they are written", p.mutators))
	}
	for _, d := range p.sketches {
		whole := slices.ContainsFunc(p.templates, func(t template) bool { return t.object.GetName() == d.object.GetName() })
		if !whole {
			notes = append(notes, fmt.Sprintf("%s: %s is left out: it has no spec.targets", d.source, d.label()))
		}
	}
	notes = append(notes, p.matchingNoPods()...)
	notes = append(notes, p.idleRules()...)
	return append(notes, p.unknownProviders()...)
}

// matchingNoPods says of the Constraints whose template judges Pods alone, as all do
// that have imagegate's library, and whose match names everything else. A cluster
// takes them, and they deny nothing.
func (p *Policies) matchingNoPods() []string {
	judging := map[string]bool{}
	for _, t := range p.templates {
		eachString(t.object.Object, func(s string) {
			if strings.Contains(s, "package lib.pod\n") {
				judging[t.parsed.Spec.CRD.Spec.Names.Kind] = true
			}
		})
	}
	var notes []string
	for _, d := range p.constraints {
		if !judging[d.object.GetKind()] || imagegate.MatchesPods(d.object) {
			continue
		}
		notes = append(notes, fmt.Sprintf(`%s: %s judges Pods and matches none: write spec.match.kinds as [{apiGroups: [""], kinds: [Pod]}]; workloads are judged as the Pods that an ExpansionTemplate makes of them`,
			d.source, d.label()))
	}
	return notes
}

// idleRules says of the image scan policies, one's own among them, which of their rules
// can never decide.
func (p *Policies) idleRules() (notes []string) {
	policies := map[string]bool{}
	for _, t := range p.templates {
		eachString(t.object.Object, func(s string) {
			if strings.Contains(s, "package lib.scanrules\n") {
				policies[t.parsed.Spec.CRD.Spec.Names.Kind] = true
			}
		})
	}
	for _, d := range p.constraints {
		if !policies[d.object.GetKind()] {
			continue
		}
		for _, idle := range imagegate.IdleRules(d.object) {
			notes = append(notes, fmt.Sprintf("%s: %s: %s", d.source, d.label(), idle))
		}
	}
	return notes
}

func (p *Policies) add(docs []document) error {
	for _, d := range docs {
		if err := p.addOne(d); err != nil {
			return fmt.Errorf("%s: %s: %w", d.source, d.label(), err)
		}
	}
	return nil
}

func (p *Policies) addOne(d document) error {
	kind := d.object.GetKind()
	switch group := groupOf(d); {
	case group == groupTemplates && kind == "ConstraintTemplate":
		return p.addTemplate(d)
	case group == apiconstraints.Group:
		return p.addConstraint(d)
	case group == groupExpansion && kind == "ExpansionTemplate":
		return p.addExpansion(d)
	case group == groupExternalData && kind == "Provider":
		return p.addProvider(d)
	case group == groupMutations:
		p.mutators++
	}
	return nil
}

func (p *Policies) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

func (p *Policies) addTemplate(d document) error {
	if _, found, _ := unstructured.NestedFieldNoCopy(d.object.Object, "spec", "targets"); !found {
		p.sketches = append(p.sketches, d)
		return nil
	}
	for _, known := range p.templates {
		if known.object.GetName() == d.object.GetName() {
			return sameAs(known.document, d)
		}
	}
	scheme := runtime.NewScheme()
	if err := gatekeeper.AddToScheme(scheme); err != nil {
		return fmt.Errorf("preparing to read it: %w", err)
	}
	parsed, err := reader.ToTemplate(scheme, d.object)
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	if !hasRego(parsed) {
		if p.skipped == nil {
			p.skipped = map[string]bool{}
		}
		p.skipped[parsed.Spec.CRD.Spec.Names.Kind] = true
		p.note("%s: %s is left out with its constraints: it has no Rego source", d.source, d.label())
		return nil
	}
	p.templates = append(p.templates, template{document: d, parsed: parsed})
	return nil
}

// hasRego tells the templates that this engine runs from those that become a
// ValidatingAdmissionPolicy. A template without any code is kept, for the
// engine's error about it.
func hasRego(t *templates.ConstraintTemplate) bool {
	engines := 0
	for _, target := range t.Spec.Targets {
		for _, code := range target.Code {
			if code.Engine == regoschema.Name {
				return true
			}
			engines++
		}
	}
	return engines == 0
}

func (p *Policies) addConstraint(d document) error {
	for _, known := range p.constraints {
		if known.object.GetKind() == d.object.GetKind() && known.object.GetName() == d.object.GetName() {
			return sameAs(known, d)
		}
	}
	p.constraints = append(p.constraints, d)
	return nil
}

func (p *Policies) addExpansion(d document) error {
	for _, known := range p.expansions {
		if known.object.GetName() == d.object.GetName() {
			return sameAs(known.document, d)
		}
	}
	parsed := &expansionapi.ExpansionTemplate{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(d.object.Object, parsed, true); err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	p.expansions = append(p.expansions, expansionTemplate{document: d, parsed: parsed})
	return nil
}

func (p *Policies) addProvider(d document) error {
	parsed := &unversioned.Provider{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.object.Object, parsed); err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	p.providers = append(p.providers, parsed)
	return nil
}

// sameAs lets the same object be found twice, as in a folder and in the bundle
// made of it, but not two objects of one name.
func sameAs(known, found document) error {
	if reflect.DeepEqual(known.object.Object, found.object.Object) {
		return nil
	}
	return fmt.Errorf("%s already has another object of that name", known.source)
}

func groupOf(d document) string {
	group, _, found := strings.Cut(d.object.GetAPIVersion(), "/")
	if !found {
		return ""
	}
	return group
}
