package install

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/imagegate/imagegate/provider/install/bypod"
)

// waitKey is a generation of an object.
type waitKey struct {
	uid        types.UID
	generation int64
}

// refusedError is what a Gatekeeper Pod says of an object that it cannot use.
type refusedError struct{ pod, says string }

func (e *refusedError) Error() string { return fmt.Sprintf("Gatekeeper Pod %s: %s", e.pod, e.says) }

// taken returns nil when each Gatekeeper Pod uses the object's present generation:
// those that speak of it, and known, those that spoke of another object. One that
// has not said so within patience is not waited for: it may be gone.
func (r *round) taken(u *unstructured.Unstructured, known []string) error {
	said := bypod.Read(u)
	var missing []string
	for _, id := range known {
		if !slices.ContainsFunc(said, func(p bypod.Said) bool { return p.Pod == id }) {
			missing = append(missing, id)
		}
	}
	using := 0
	for _, p := range said {
		switch {
		case !p.Current:
			missing = append(missing, p.Pod)
		case p.Problems != "":
			return &refusedError{p.Pod, p.Problems}
		case p.Off:
			missing = append(missing, p.Pod)
		default:
			using++
		}
	}
	key := waitKey{u.GetUID(), u.GetGeneration()}
	if using > 0 && len(missing) == 0 {
		delete(r.waiting, key)
		return nil
	}
	began, ok := r.waiting[key]
	if !ok {
		began = r.now
		r.waiting[key] = began
	}
	if using > 0 && r.now.Sub(began) >= patience {
		return nil
	}
	if using == 0 && len(said) == 0 {
		return errors.New("no Gatekeeper Pod has said anything about it")
	}
	slices.Sort(missing)
	// How long is not said: each round would have news.
	return fmt.Errorf("it waits for Gatekeeper Pod %s", strings.Join(missing, ", "))
}

// contradicted says that a Gatekeeper Pod refuses what it may yet accept: when two
// of them make a template's CRD, the loser reports an error until it tries again.
const contradicted = 5 * time.Second

// lastingRefusal reports whether err is a Pod's refusal that has lasted.
func (r *round) lastingRefusal(u *unstructured.Unstructured, err error) bool {
	if _, ok := errors.AsType[*refusedError](err); !ok {
		return false
	}
	if key := (waitKey{u.GetUID(), u.GetGeneration()}); r.waiting[key].IsZero() {
		r.waiting[key] = r.now
	}
	return r.waited(u) >= contradicted
}

// waited is how long the object's present generation has been waited for.
func (r *round) waited(u *unstructured.Unstructured) time.Duration {
	began, ok := r.waiting[waitKey{u.GetUID(), u.GetGeneration()}]
	if !ok {
		return 0
	}
	return r.now.Sub(began)
}
