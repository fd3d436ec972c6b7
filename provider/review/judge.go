package review

import (
	"cmp"
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/expansion"
	mutationtypes "github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/types"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Review judges one object as Gatekeeper's validating webhook does: the object
// itself, and after it each object that the ExpansionTemplates make of it.
func (e *Engine) Review(ctx context.Context, object Object) (Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	result, err := e.review(ctx, object)
	if err != nil {
		return Result{}, fmt.Errorf("judging %s %s: %w", object.kind(), object.name(), err)
	}
	return result, nil
}

func (e *Engine) review(ctx context.Context, object Object) (Result, error) {
	request := *object.request
	if request.Kind.Group == "" && request.Kind.Kind == "Namespace" {
		// Server-side apply names the Namespace as its own namespace.
		request.Namespace = ""
	}
	ns, err := e.config.Cluster.namespace(request.Namespace, e.config.Policies)
	if err != nil {
		return Result{}, err
	}
	subjects, err := e.subjects(object, target.AugmentedReview{
		AdmissionRequest: &request,
		Namespace:        ns,
		Source:           mutationtypes.SourceTypeOriginal,
		IsAdmission:      true,
	})
	if err != nil {
		return Result{}, err
	}
	// What an abandoned call of an earlier review asked for is not this one's.
	e.server.Take()
	responses, err := e.evaluate(ctx, subjects, ns)
	if err != nil {
		return Result{}, err
	}
	result := newResult(object, responses, e.server.Take())
	result.expanded = len(subjects) > 1
	if e.config.Explain {
		result.Explained, err = explain(subjects, ns, result.exchanges)
	}
	return result, err
}

// subject is one thing that the engine is asked about for one object.
type subject struct {
	review any
	// template is the ExpansionTemplate that made it and action the
	// enforcement action it imposes; empty for the object itself.
	template, action string
}

func (e *Engine) subjects(object Object, original target.AugmentedReview) ([]subject, error) {
	base := object.content.DeepCopy()
	base.SetNamespace(original.AdmissionRequest.Namespace)
	kind := original.AdmissionRequest.Kind
	base.SetGroupVersionKind(schema.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind})
	resultants, err := e.expander.Expand(&mutationtypes.Mutable{
		Object:    base,
		Namespace: original.Namespace,
		Username:  original.AdmissionRequest.UserInfo.Username,
	})
	if err != nil {
		return nil, fmt.Errorf("expanding it: %w", err)
	}
	subjects := []subject{{review: original}}
	for _, r := range resultants {
		subjects = append(subjects, subject{
			template: r.TemplateName,
			action:   r.EnforcementAction,
			review: target.AugmentedUnstructured{
				Object:    *r.Obj,
				Namespace: original.Namespace,
				Operation: original.AdmissionRequest.Operation,
				Source:    mutationtypes.SourceTypeGenerated,
			},
		})
	}
	return subjects, nil
}

func (e *Engine) evaluate(ctx context.Context, subjects []subject, ns *corev1.Namespace) (*types.Responses, error) {
	opts := []reviews.ReviewOpt{reviews.EnforcementPoint(e.config.EnforcementPoint)}
	if opt := util.NamespaceReviewOpt(ns, logr.Discard()); opt != nil {
		opts = append(opts, opt)
	}
	all := types.NewResponses()
	for _, s := range subjects {
		responses, err := e.evaluator.Review(ctx, s.review, opts...)
		// To a template the end of ctx looks like a provider that failed, and
		// so would the judgement.
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return nil, fmt.Errorf("evaluating the constraints: %w", err)
		}
		if s.template == "" {
			all = responses
			continue
		}
		expansion.OverrideEnforcementAction(s.action, responses)
		expansion.AggregateResponses(s.template, all, responses)
	}
	return all, nil
}
