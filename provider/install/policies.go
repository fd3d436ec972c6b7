package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install/bypod"
	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/policy"
)

// policies applies what is written: templates, then Constraints and the rest, then
// removes what is written no more.
func (r *round) policies(ctx context.Context, g gatekeeper, provider bool) {
	r.forgetWaits()
	written, err := r.written(ctx)
	if err != nil {
		// What is installed stays in force.
		r.enforcing = r.judging(ctx)
		return
	}
	made, err := written.Make(policy.Surroundings{Namespace: r.o.Namespace, GatekeeperNamespace: g.namespace, Provider: r.o.Provider.Name})
	if err != nil {
		r.refusal(finding.PoliciesInvalid, err)
		return
	}
	p := &plan{round: r, held: r.held(ctx, g), templates: map[string]bool{}, wanted: map[settledKey]bool{}}
	for _, t := range made.Templates {
		p.template(ctx, t)
	}
	constraints := p.constraints(ctx, made)
	later := made.Further
	for _, u := range made.Further {
		if k, _ := policy.KindOf(u.GetAPIVersion(), u.GetKind()); k == policy.Template {
			p.template(ctx, u)
		}
	}
	gate := r.gate(ctx, g, provider, p.pods)
	r.enforcing = len(constraints) > 0
	for _, u := range constraints {
		r.enforcing = p.enforce(ctx, u, gate) && r.enforcing
	}
	complete := r.enforcing
	for _, u := range later {
		if k, _ := policy.KindOf(u.GetAPIVersion(), u.GetKind()); k != policy.Template {
			complete = p.enforce(ctx, u, gate) && complete
		}
	}
	// What is in force goes only once what replaces it is.
	if complete && r.failed == nil {
		p.prune(ctx)
	}
	if !r.enforcing {
		r.soon()
	}
}

// held says why no ConstraintTemplate may come into being yet. Gatekeeper makes a CRD
// of each, which its own webhook judges. One that is installed finds the template there
// when the template came between its CRDs and its webhook, and with failurePolicy Fail it
// never gets ready: it waits for the CRD, and the CRD for it. After the webhook a template
// is refused until Gatekeeper is ready.
func (r *round) held(ctx context.Context, g gatekeeper) error {
	if g.judges {
		return nil
	}
	u, err := r.objects.get(ctx, providers, r.o.Provider.Name)
	switch {
	case err != nil:
		return refused("reading the Provider object", err)
	case u == nil:
		return errNoGatekeeper
	case r.now.Sub(u.GetCreationTimestamp().Time) >= patience:
		return nil // it is one that only audits
	}
	return fmt.Errorf("Gatekeeper has no ValidatingWebhookConfiguration %s yet (install.gatekeeper.validatingWebhook); without one it comes after %s", r.o.Gatekeeper.Validating, patience)
}

var errNoGatekeeper = errors.New("there is no Gatekeeper (CRD constrainttemplates.templates.gatekeeper.sh): it may be installed later")

// forgetWaits drops those for what is long gone.
func (r *round) forgetWaits() {
	maps.DeleteFunc(r.waiting, func(_ waitKey, began time.Time) bool { return r.now.Sub(began) > time.Hour })
}

// written reads the policies.
func (r *round) written(ctx context.Context) (*policy.Policies, error) {
	o := r.o.Policies
	where := "install.policies.file " + o.File
	var text []byte
	if o.File != "" {
		var err error
		if text, err = os.ReadFile(o.File); err != nil {
			r.problem(finding.PoliciesMissing, "%s: %v", where, err)
			return nil, err
		}
	} else {
		where = fmt.Sprintf("%s in ConfigMap %s/%s", o.Key, r.o.Namespace, o.ConfigMap)
		ctx, cancel := bounded(ctx)
		defer cancel()
		cm, err := r.core.CoreV1().ConfigMaps(r.o.Namespace).Get(ctx, o.ConfigMap, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			err = refused("reading the policies, "+where, err)
			r.refusal(finding.APIError, err)
			return nil, err
		}
		found, ok := "", false
		if err == nil {
			found, ok = cm.Data[o.Key]
		}
		if !ok {
			err = errors.New("there is no " + where + " (install.policies)")
			r.problem(finding.PoliciesMissing, "%v", err)
			return nil, err
		}
		text = []byte(found)
	}
	p, err := policy.Parse(text)
	if err != nil {
		r.problems.add(finding.PoliciesInvalid, "%s: %v; what was in force before stays so", where, err)
	}
	return p, err
}

// judging reports whether a Constraint of ours is enforced, whatever it says.
func (r *round) judging(ctx context.Context) bool {
	for _, kind := range []string{policy.GeneratedKind, policy.OwnKind} {
		list, err := r.objects.list(ctx, policy.Constraint(kind).GVR(), r.o.selector())
		if err != nil {
			r.refusal(finding.APIError, refused("listing the Constraints", err))
			return false
		}
		for i := range list {
			if r.taken(&list[i], nil) == nil {
				return true
			}
		}
	}
	return false
}

// plan is what a round makes of the policies.
type plan struct {
	*round
	// held says why templates that are not there have to wait.
	held error
	// templates says of each template, by name, whether it is taken in.
	templates map[string]bool
	// pods are the Gatekeeper Pods that speak of any of the templates.
	pods []string
	// wanted is what is not pruned.
	wanted map[settledKey]bool
}

func (p *plan) want(k policy.Kind, name string) {
	p.wanted[settledKey{k.GVR(), name}] = true
}

// template applies a template. Whether it is taken in is for those of its kind.
func (p *plan) template(ctx context.Context, u *unstructured.Unstructured) {
	p.want(policy.Template, u.GetName())
	if p.held != nil {
		live, err := p.objects.get(ctx, policy.Template.GVR(), u.GetName())
		if err != nil {
			p.refusal(finding.APIError, refused("reading ConstraintTemplate "+u.GetName(), err))
			return
		}
		if live == nil {
			p.problem(finding.GatekeeperMissing, "%v", p.held)
			return
		}
	}
	live, err := p.ensure(ctx, policy.Template.GVR(), u)
	if err != nil {
		p.refusal(finding.TemplateRefused, err)
		return
	}
	if live == nil {
		p.problem(finding.GatekeeperMissing, "%v", errNoGatekeeper)
		return
	}
	p.seen(live)
}

// seen notes what Gatekeeper says of a template.
func (p *plan) seen(live *unstructured.Unstructured) {
	for _, pod := range bypod.Read(live) {
		if !slices.Contains(p.pods, pod.Pod) {
			p.pods = append(p.pods, pod.Pod)
		}
	}
	err := p.taken(live, p.pods)
	if p.templates[live.GetName()] = err == nil; err == nil {
		return
	}
	if p.lastingRefusal(live, err) {
		p.problem(finding.TemplateRefused, "ConstraintTemplate %s is refused by %v", live.GetName(), err)
		return
	}
	p.problem(finding.TemplateNotTakenIn, "ConstraintTemplate %s is not taken in: %v", live.GetName(), err)
}

// constraints chooses which Constraint there is: that of one's own rules, which has
// the generated ones in it, else that of the generated ones alone. Rules that do not
// compile leave the template as it is; where there is none yet, the generated ones
// hold alone.
func (p *plan) constraints(ctx context.Context, made *policy.Objects) []*unstructured.Unstructured {
	if made.OwnTemplate != nil {
		p.template(ctx, made.OwnTemplate)
		return []*unstructured.Unstructured{made.Own}
	}
	if made.Problem == nil {
		if made.Generated == nil {
			p.problems.add(finding.PoliciesInvalid, "autoGenerate is false and there are no rules of one's own: nothing judges a report")
			return nil
		}
		return []*unstructured.Unstructured{made.Generated}
	}
	old, err := p.objects.get(ctx, policy.Template.GVR(), policy.OwnTemplate)
	switch {
	case err != nil:
		p.refusal(finding.APIError, refused("reading ConstraintTemplate "+policy.OwnTemplate, err))
		return nil
	case old != nil && old.GetLabels()[Label] == p.o.Instance:
		p.problems.add(finding.RulesDoNotCompile, "%v; the rules before stay in force", made.Problem)
		p.want(policy.Template, policy.OwnTemplate)
		p.seen(old)
		return []*unstructured.Unstructured{made.Own}
	case made.Generated != nil:
		p.problems.add(finding.RulesDoNotCompile, "%v; only the generated rules are in force", made.Problem)
		return []*unstructured.Unstructured{made.Generated}
	default:
		p.problems.add(finding.RulesDoNotCompile, "%v; autoGenerate is false, so nothing is in force", made.Problem)
		return nil
	}
}

// gate says why no Constraint may come into being yet: a Pod must not be denied
// because the one who is to be asked is not there.
func (r *round) gate(ctx context.Context, g gatekeeper, provider bool, known []string) error {
	switch {
	case !provider:
		return errors.New("there is no Provider object yet")
	case !g.known:
		return errors.New("Gatekeeper would be refused: its CA is unknown")
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := r.o.Ready(ctx); err != nil {
		return fmt.Errorf("the provider is not ready: %w", err)
	}
	u, err := r.objects.get(ctx, providers, r.o.Provider.Name)
	if err != nil || u == nil {
		return errors.Join(errors.New("the Provider object cannot be read"), err)
	}
	// Gatekeeper before 3.20 says nothing about Providers.
	if err := r.taken(u, known); err != nil && !(len(bypod.Read(u)) == 0 && r.waited(u) >= patience) {
		return fmt.Errorf("the Provider object is not taken in: %w", err)
	}
	return nil
}

// enforce applies a Constraint, or another object that acts on Pods, and reports
// whether Gatekeeper acts by it. One that exists is kept right whatever gate says:
// what is enforced is not given up because the provider restarts.
func (p *plan) enforce(ctx context.Context, u *unstructured.Unstructured, gate error) bool {
	k, ok := policy.KindOf(u.GetAPIVersion(), u.GetKind())
	if !ok {
		return false // Parse has refused it
	}
	name := k.Kind + " " + u.GetName()
	p.want(k, u.GetName())
	if k.IsConstraint() && !p.templates[strings.ToLower(k.Kind)] {
		if !p.problems.has(finding.TemplateRefused) && !p.problems.has(finding.GatekeeperMissing) {
			p.problem(finding.TemplateNotTakenIn, "%s waits for its ConstraintTemplate", name)
		}
		return p.stillTaken(ctx, k, u.GetName())
	}
	if gate != nil {
		live, err := p.objects.get(ctx, k.GVR(), u.GetName())
		if err != nil {
			p.refusal(finding.APIError, refused("reading "+name, err))
			return false
		}
		if live == nil {
			p.problem(finding.ProviderNotReady, "%s waits: %v", name, gate)
			return false
		}
	}
	live, err := p.ensure(ctx, k.GVR(), u)
	switch {
	case err != nil && k.IsConstraint():
		p.refusal(finding.ConstraintRefused, err)
		return p.stillTaken(ctx, k, u.GetName())
	case err != nil:
		p.refusal(finding.ObjectRefused, err)
		return false
	case live == nil:
		p.problem(finding.ConstraintNotEnforced, "%s: its kind does not exist yet", name)
		return false
	case !k.IsConstraint():
		return true // of the others nobody is judged by what they miss
	}
	if err := p.taken(live, p.pods); err != nil {
		p.problem(finding.ConstraintNotEnforced, "%s: %v", name, err)
		return false
	}
	p.warnings.found(check.Constraint(live))
	return true
}

// stillTaken reports whether the object, as it is, is in force.
func (p *plan) stillTaken(ctx context.Context, k policy.Kind, name string) bool {
	live, err := p.objects.get(ctx, k.GVR(), name)
	return err == nil && live != nil && p.taken(live, nil) == nil
}

// prune removes what was installed and is wanted no more: templates last, with
// which their Constraints would go unasked.
func (p *plan) prune(ctx context.Context) {
	kinds := policy.Kinds()
	slices.Reverse(kinds)
	for _, k := range kinds {
		list, err := p.objects.list(ctx, k.GVR(), p.o.selector())
		if err != nil {
			p.refusal(finding.APIError, refused("listing "+k.Resource, err))
			return
		}
		for i := range list {
			u := &list[i]
			if p.wanted[settledKey{k.GVR(), u.GetName()}] || u.GetDeletionTimestamp() != nil {
				continue
			}
			err := p.objects.remove(ctx, k.GVR(), u.GetName(), u.GetUID())
			p.metrics.wrote("prune", err)
			if err != nil {
				p.refusal(finding.ObjectRefused, refused("removing "+k.Kind+" "+u.GetName(), err))
				return
			}
			delete(p.settled, settledKey{k.GVR(), u.GetName()})
			p.log.InfoContext(ctx, "removed what the policies have no more", "kind", k.Kind, "name", u.GetName())
		}
	}
}
