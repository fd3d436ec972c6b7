package install

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/install/finding"
)

// round is one look at everything, by the leader.
type round struct {
	*Installer
	now      time.Time
	owners   []metav1.OwnerReference
	problems problems
	warnings problems
	// again is when the next round is due although nothing changes.
	again time.Time
	// failed says that something was refused that may be allowed later.
	failed error

	state State
	cm    *corev1.ConfigMap
	// did is what was done with certificates.
	did string
	// enforcing is what there is to say of the Constraint.
	enforcing bool
}

// due asks for a round at that time.
func (r *round) due(at time.Time) {
	if !at.IsZero() && at.Before(r.again) {
		r.again = at
	}
}

// soon asks for a round that looks whether something has come by now.
func (r *round) soon() { r.due(r.now.Add(unfinished)) }

// problem notes what is wrong, and that it may get right by itself.
func (r *round) problem(reason finding.ID, format string, args ...any) {
	r.problems.add(reason, format, args...)
	r.soon()
}

// refusal notes what the API server, or who it asks, refused.
func (r *round) refusal(reason finding.ID, err error) {
	r.problems.add(reason, "%v", err)
	r.failed = errors.Join(r.failed, err)
}

// roundOnce makes one round. It returns how long the next one can wait; an error
// says that something was refused, or is errClaimed, before anything was done.
func (i *Installer) roundOnce(ctx context.Context, tell *teller) (time.Duration, error) {
	r := &round{Installer: i, now: time.Now(), again: time.Now().Add(roundAtMost)}
	r.run(ctx)
	if errors.Is(r.failed, errClaimed) {
		return 0, r.failed
	}
	if ctx.Err() != nil {
		return 0, nil //nolint:nilerr // it was told to end, and what failed may have by that
	}
	status := Status{Mode: i.o.Mode, Enforcing: r.enforcing, Problems: r.problems, Warnings: r.warnings}
	r.state.Status, r.state.By = status, i.by
	if r.owners != nil || i.o.Owner.Name == "" {
		if err := r.save(ctx); err != nil {
			r.failed = errors.Join(r.failed, err)
		}
	}
	i.metrics.show(status)
	if r.did != "" {
		tell.did(ctx, r.cm, r.did)
	}
	tell.status(ctx, r.cm, status)
	return time.Until(r.again), r.failed
}

func (r *round) run(ctx context.Context) {
	var err error
	if r.state, r.cm, err = r.Installer.state.read(ctx); err != nil {
		r.refusal(finding.APIError, err)
		if r.cm == nil {
			return
		}
		r.state = State{} // what cannot be read is made anew
	}
	if r.claimed(r.cm) {
		r.failed = errClaimed
		return
	}
	if r.owners, err = r.owner(ctx); err != nil {
		if errors.Is(err, errNoOwner) {
			r.problem(finding.OwnerMissing, "%v", err)
		} else {
			r.refusal(finding.APIError, err)
		}
		return
	}
	gatekeeper := r.gatekeeper(ctx)
	published := r.certificates(ctx)
	if r.o.Mode == ModeProcess {
		r.policies(ctx, gatekeeper, published)
	}
}

// owner returns what owns everything, nothing where it is not configured.
func (i *Installer) owner(ctx context.Context) ([]metav1.OwnerReference, error) {
	o := i.o.Owner
	if o.Name == "" {
		return nil, nil
	}
	u, err := i.objects.get(ctx, i.o.ownerResource(), o.Name)
	if err != nil {
		return nil, refused(fmt.Sprintf("reading the owner, %s %s", o.Kind, o.Name), err)
	}
	if u == nil || u.GetDeletionTimestamp() != nil {
		return nil, fmt.Errorf("%w: %s %s", errNoOwner, o.Kind, o.Name)
	}
	apiVersion, kind := o.ToAPIVersionAndKind()
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: o.Name, UID: u.GetUID()}}, nil
}

func (o *Options) labels() map[string]string { return map[string]string{Label: o.Instance} }

// save writes the state, if it changed.
func (r *round) save(ctx context.Context) error {
	cm, err := r.Installer.state.write(ctx, r.state, r.cm, r.o.labels(), r.owners)
	if err != nil {
		return err
	}
	r.cm = cm
	return nil
}
