package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/imagegate/imagegate/provider/kube"
	"github.com/imagegate/imagegate/provider/pause"
)

// objects are the cluster-scoped ones that a round reads and writes.
type objects interface {
	// get returns nil, nil when there is no such object or no such kind.
	get(ctx context.Context, r schema.GroupVersionResource, name string) (*unstructured.Unstructured, error)
	// list returns those with the label, none when there is no such kind.
	list(ctx context.Context, r schema.GroupVersionResource, selector string) ([]unstructured.Unstructured, error)
	// apply and replace return the object as it is then.
	apply(ctx context.Context, r schema.GroupVersionResource, u *unstructured.Unstructured) (*unstructured.Unstructured, error)
	replace(ctx context.Context, r schema.GroupVersionResource, u *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// remove removes the object if it is the one of that UID.
	remove(ctx context.Context, r schema.GroupVersionResource, name string, uid types.UID) error
}

// throughAPI is objects by the API server.
type throughAPI struct{ client dynamic.Interface }

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, kube.Timeout)
}

// absent reports whether the object, or its kind, does not exist.
func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

func (t throughAPI) get(ctx context.Context, r schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	u, err := t.client.Resource(r).Get(ctx, name, metav1.GetOptions{})
	if absent(err) {
		return nil, nil
	}
	return u, err
}

func (t throughAPI) list(ctx context.Context, r schema.GroupVersionResource, selector string) ([]unstructured.Unstructured, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	l, err := t.client.Resource(r).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}

func (t throughAPI) apply(ctx context.Context, r schema.GroupVersionResource, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	data, err := json.Marshal(u)
	if err != nil {
		return nil, err
	}
	force := true
	// Strict: a field that the API server would drop without a word is somebody's
	// policy.
	return t.client.Resource(r).Patch(ctx, u.GetName(), types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: fieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict})
}

func (t throughAPI) replace(ctx context.Context, r schema.GroupVersionResource, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return t.client.Resource(r).Update(ctx, u, metav1.UpdateOptions{FieldManager: fieldManager})
}

func (t throughAPI) remove(ctx context.Context, r schema.GroupVersionResource, name string, uid types.UID) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := t.client.Resource(r).Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if absent(err) {
		return nil
	}
	return err
}

// subject is what is watched: one object by name, or those with a label.
type subject struct {
	resource        schema.GroupVersionResource
	namespace, name string
	selector        string
}

func (s subject) options() metav1.ListOptions {
	o := metav1.ListOptions{LabelSelector: s.selector}
	if s.name != "" {
		// With the name as field selector, RBAC can allow it for the one name.
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, s.name).String()
	}
	return o
}

const (
	// watchFor ends a watch that a broken connection would keep silent.
	watchFor = 5 * time.Minute
	// absentPoll is how often it is looked whether a kind exists by now.
	absentPoll = 3 * time.Second
	// followInitial and followMax are the growing pause after failures.
	followInitial = time.Second
	followMax     = 15 * time.Second
)

// follow calls changed at once and whenever the subject may have changed, until
// ctx ends. It holds no copy: whoever is called looks for himself.
func follow(ctx context.Context, client dynamic.Interface, s subject, log *slog.Logger, changed func()) {
	next, there := followInitial, false
	for ctx.Err() == nil {
		err := watchOnce(ctx, client, s, func() {
			there = true
			changed()
		})
		wait := time.Duration(0)
		switch {
		case err == nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
			next = followInitial
		case absent(err):
			wait = absentPoll
			if there {
				changed() // the kind went with all that was of it
			}
			there = false
		default:
			if ctx.Err() == nil {
				log.DebugContext(ctx, "watching failed", "resource", s.resource.Resource, "name", s.name, "error", err)
			}
			wait, next = next, min(2*next, followMax)
			changed() // what was missed is seen by who looks
		}
		pause.For(ctx, max(wait, 100*time.Millisecond))
	}
}

func watchOnce(ctx context.Context, client dynamic.Interface, s subject, changed func()) error {
	var resource dynamic.ResourceInterface = client.Resource(s.resource)
	if s.namespace != "" {
		resource = client.Resource(s.resource).Namespace(s.namespace)
	}
	o := s.options()
	listing, cancel := bounded(ctx)
	l, err := resource.List(listing, o)
	cancel()
	if err != nil {
		return err
	}
	changed()
	o.ResourceVersion = l.GetResourceVersion()
	o.AllowWatchBookmarks = true
	seconds := int64(watchFor.Seconds())
	o.TimeoutSeconds = &seconds
	ctx, cancel = context.WithTimeout(ctx, watchFor+kube.Timeout)
	defer cancel()
	w, err := resource.Watch(ctx, o)
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.ResultChan():
			if !ok {
				return nil
			}
			switch e.Type {
			case "ERROR":
				return apierrors.FromObject(e.Object)
			case "BOOKMARK":
			default:
				changed()
			}
		}
	}
}

// refused names what the API server refused and, if it is RBAC, what is missing.
func refused(doing string, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%s: the provider's account may not (provider/install/rbac.yaml has what it needs): %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

var errNoOwner = errors.New("the object that owns the installation is gone: nothing is installed any more")
