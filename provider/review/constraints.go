package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func (e *Engine) addTemplates(ctx context.Context) error {
	for _, t := range e.config.Policies.templates {
		if _, err := e.evaluator.AddTemplate(ctx, t.parsed); err != nil {
			return fmt.Errorf("%s: %s: %w", t.source, t.label(), err)
		}
	}
	return nil
}

func (e *Engine) addConstraints(ctx context.Context) error {
	for _, c := range e.config.Policies.constraints {
		if e.config.Policies.skipped[c.object.GetKind()] {
			continue
		}
		if err := e.addConstraint(ctx, c); err != nil {
			return fmt.Errorf("%s: %s: %w", c.source, c.label(), err)
		}
	}
	return nil
}

// addConstraint refuses what kubectl and Gatekeeper's webhook would refuse.
func (e *Engine) addConstraint(ctx context.Context, c document) error {
	t, err := e.templateOf(c)
	if err != nil {
		return err
	}
	schema, err := e.schemaOf(ctx, t)
	if err != nil {
		return err
	}
	if err := checkFields(schema, c.object); err != nil {
		return err
	}
	object := asStored(schema, c.object)
	action, _, err := unstructured.NestedString(object.Object, "spec", "enforcementAction")
	if err != nil {
		return fmt.Errorf("field spec.enforcementAction: %w", err)
	}
	if action != "" {
		if err := util.ValidateEnforcementAction(util.EnforcementAction(action), object.Object); err != nil {
			return fmt.Errorf("field spec.enforcementAction: %w", err)
		}
	}
	if _, err := e.evaluator.AddConstraint(ctx, object); err != nil {
		return explained(err, schema)
	}
	return nil
}

func (e *Engine) templateOf(c document) (template, error) {
	var kinds []string
	for _, t := range e.config.Policies.templates {
		kind := t.parsed.Spec.CRD.Spec.Names.Kind
		if kind == c.object.GetKind() {
			return t, nil
		}
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return template{}, fmt.Errorf("no ConstraintTemplate makes constraints of kind %s: the templates given make %s", c.object.GetKind(), strings.Join(kinds, ", "))
}

func (e *Engine) schemaOf(ctx context.Context, t template) (*structural.Structural, error) {
	crd, err := e.evaluator.client.CreateCRD(ctx, t.parsed)
	if err != nil {
		return nil, fmt.Errorf("making the resource definition of its kind: %w", err)
	}
	schema, err := structural.NewStructural(crd.Spec.Validation.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of its kind: %w", err)
	}
	return schema, nil
}

// asStored returns a constraint as the API server would keep it: without the
// fields left blank that may not be, and with the schema's defaults.
func asStored(schema *structural.Structural, constraint *unstructured.Unstructured) *unstructured.Unstructured {
	stored := constraint.DeepCopy()
	defaulting.PruneNonNullableNullsWithoutDefaults(stored.Object, schema)
	defaulting.Default(stored.Object, schema)
	return stored
}

// checkFields reports the fields that the template's schema does not have. The
// API server drops them, and kubectl refuses them; a review that went on would
// judge by a policy that its author did not write.
func checkFields(schema *structural.Structural, constraint *unstructured.Unstructured) error {
	unknown := pruning.PruneWithOptions(constraint.DeepCopy().Object, schema, true,
		structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	errs := make([]error, len(unknown))
	for i, field := range unknown {
		errs[i] = fmt.Errorf("unknown field %q", field)
	}
	return errors.Join(errs...)
}
