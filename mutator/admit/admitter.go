package admit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/mutator/pin"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/wire"
)

// Admitter decides admission requests. It is safe for concurrent use.
type Admitter struct {
	provider Provider
	settings Settings
	scans    *scans
}

// New returns an Admitter that asks provider.
func New(provider Provider, settings Settings) *Admitter {
	return &Admitter{provider: provider, settings: settings, scans: newScans(provider, settings)}
}

// Waiting returns how many requests wait for scans now.
func (a *Admitter) Waiting() int { return a.scans.waiting() }

// Close waits for questions to the provider that outlived their requests, until
// ctx ends.
func (a *Admitter) Close(ctx context.Context) error { return a.scans.close(ctx) }

// Admit decides req. ctx carries the deadline of the request.
func (a *Admitter) Admit(ctx context.Context, req *admissionv1.AdmissionRequest) *Decision {
	location, ok := a.locate(req)
	if !ok {
		return ignored()
	}
	pod, old, err := read(req, location)
	if err != nil {
		d := ignored()
		d.deny(Failed, http.StatusBadRequest, metav1.StatusReasonBadRequest,
			fmt.Sprintf("cannot pin images: the admission request's %v", err))
		return d
	}
	if req.Operation == admissionv1.Create && location.Kind == "Pod" && pod.MirrorOf(req.UserInfo.Username, req.UserInfo.Groups) {
		return ignored()
	}
	d := ignored()
	d.Images = len(pod.Images)
	work := a.sort(req, pod, old)
	if len(pod.Images) > pin.MaxImages && len(work.changed) > 0 {
		d.deny(Denied, http.StatusForbidden, metav1.StatusReasonForbidden,
			fmt.Sprintf("cannot pin images: the Pod has %d containers and image volumes, and no more than %d can be judged: split it", len(pod.Images), pin.MaxImages))
		return d
	}
	work.attempt = a.attempt(req, location, pod)
	unreachable := a.resolve(ctx, work)
	a.respond(d, req, work, unreachable)
	if d.Response.Allowed && !dryRun(req) {
		a.scans.ask(ctx, d, work.scanKeys(owned(req, location, pod)))
	}
	return d
}

func (a *Admitter) locate(req *admissionv1.AdmissionRequest) (pin.Location, bool) {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return pin.Location{}, false
	}
	l, ok := pin.Locate(req.Resource.Group, req.Resource.Resource, req.SubResource)
	if !ok || (l.Kind != "Pod" && !slices.Contains(a.settings.Workloads, l.Kind)) {
		return pin.Location{}, false
	}
	return l, true
}

func read(req *admissionv1.AdmissionRequest, l pin.Location) (pod, old *pin.Pod, err error) {
	if len(req.Object.Raw) == 0 {
		return nil, nil, errors.New("object is missing")
	}
	if pod, err = pin.Read(req.Object.Raw, l); err != nil {
		return nil, nil, fmt.Errorf("object: %w", err)
	}
	if req.Operation == admissionv1.Update && len(req.OldObject.Raw) > 0 {
		if old, err = pin.Read(req.OldObject.Raw, l); err != nil {
			return nil, nil, fmt.Errorf("oldObject: %w", err)
		}
	}
	return pod, old, nil
}

// owned is who will try again when req is denied: the controller of a Pod that is
// to be made. What is done to an existing Pod its controller does not repeat.
func owned(req *admissionv1.AdmissionRequest, l pin.Location, pod *pin.Pod) owner.Reference {
	if req.Operation != admissionv1.Create || l.Kind != "Pod" || req.Namespace == "" {
		return owner.Reference{}
	}
	return pod.Owner
}

// attempt is who wants to run the images of a Pod, for the provider to remember; the
// zero value is nobody. A workload is not run, but the Pods that are made of it.
type attempt struct {
	by        owner.Reference
	user, pod string
}

// maxUser bounds a user's name, which an authenticator may make of anything.
const maxUser = 256

func (a *Admitter) attempt(req *admissionv1.AdmissionRequest, l pin.Location, pod *pin.Pod) attempt {
	if !a.settings.Attempts || dryRun(req) || l.Kind != "Pod" || req.Namespace == "" || req.UserInfo.Username == "" {
		return attempt{}
	}
	t := attempt{by: owned(req, l, pod), user: report.Clean(req.UserInfo.Username, maxUser)}
	if t.by == (owner.Reference{}) {
		t.pod = cmp.Or(pod.Name, req.Name)
	}
	return t
}

// of adds t to a key, and what was written for an image that is pinned, where the
// key has room: nobody's name is a reason to leave a question unasked.
func (t attempt) of(k wire.Key, written string) wire.Key {
	if t.user == "" {
		return k
	}
	long := k
	long.User, long.Pod, long.Owner = t.user, t.pod, t.by
	if written != k.Reference {
		long.Original = written
	}
	if len(long.String()) > maxOwnedKey {
		return k
	}
	return long
}

func dryRun(req *admissionv1.AdmissionRequest) bool { return req.DryRun != nil && *req.DryRun }

// work is the images of one request and what becomes of them.
type work struct {
	// old is the object that pod updates, if any.
	pod, old *pin.Pod
	// unpinned are the images to pin, invalid ones excluded; changed are all
	// images that this request brings, without those that it leaves as they were,
	// pinned or written. Both are indices in pod.Images.
	unpinned, changed []int
	pinned            map[int]string
	failed            map[int]error
	key               wire.Key
	attempt           attempt
}

// sort finds the images that this request brings and which of them need a
// digest.
func (a *Admitter) sort(req *admissionv1.AdmissionRequest, pod, old *pin.Pod) *work {
	w := &work{pod: pod, old: old, pinned: map[int]string{}, failed: map[int]error{}, key: wire.Key{Namespace: req.Namespace, Platform: pod.Platform}}
	if req.Namespace != "" {
		w.key.ServiceAccount, w.key.PullSecrets = pod.ServiceAccount, pod.PullSecrets
	}
	unchanged, settled := pod.Unchanged(old), pod.Settled(old)
	for i, image := range pod.Images {
		if unchanged[i] {
			continue
		}
		if before, ok := settled[i]; ok && !a.settings.exempt(image.Reference) {
			w.pinned[i] = before
			continue
		}
		w.changed = append(w.changed, i)
		switch pinned, err := pin.Check(image.Reference); {
		case err != nil:
			w.failed[i] = err
		case pod.PlatformErr != nil:
			w.failed[i] = pod.PlatformErr
		case !pinned && !a.settings.exempt(image.Reference):
			w.unpinned = append(w.unpinned, i)
		}
	}
	return w
}

// keys returns one key for each distinct reference of the images, which
// reference returns, and in an attempt for each that was written for it.
func (w *work) keys(images []int, reference func(i int) string) []wire.Key {
	var keys []wire.Key
	seen := map[string]bool{}
	for _, i := range images {
		k := w.key
		k.Reference = reference(i)
		k = w.attempt.of(k, w.pod.Images[i].Reference)
		if s := k.String(); !seen[s] {
			seen[s] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// maxOwnedKey is the longest key that names an owner, within what the provider
// takes by default: an owner is no reason to leave a scan unasked for.
const maxOwnedKey = 2048

// scanKeys are the images to scan, as validation will ask for them, and who waits
// for the answer.
func (w *work) scanKeys(by owner.Reference) []wire.Key {
	var images []int
	for _, i := range w.changed {
		if w.failed[i] == nil {
			images = append(images, i)
		}
	}
	keys := w.keys(images, func(i int) string {
		if p, ok := w.pinned[i]; ok {
			return p
		}
		return w.pod.Images[i].Reference
	})
	for i, k := range keys {
		if k.User != "" {
			continue // it has its owner
		}
		k.Owner = by
		if len(k.String()) <= maxOwnedKey {
			keys[i] = k
		}
	}
	return keys
}

// resolve pins what can be pinned. It reports whether the provider could not
// be asked at all.
func (a *Admitter) resolve(ctx context.Context, w *work) (unreachable bool) {
	if len(w.unpinned) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, a.settings.ResolveTimeout)
	defer cancel()
	keys := w.keys(w.unpinned, func(i int) string { return w.pod.Images[i].Reference })
	answers, err := a.provider.Digests(ctx, keys)
	byReference := map[string]wire.Resolved{}
	for n, k := range keys {
		if err != nil {
			byReference[k.Reference] = wire.Resolved{Err: err}
		} else {
			byReference[k.Reference] = answers[n]
		}
	}
	for _, i := range w.unpinned {
		image := w.pod.Images[i]
		answer := byReference[image.Reference]
		if answer.Err == nil {
			answer.Pinned, answer.Err = w.pod.Pin(image.Reference, answer.Pinned, a.settings.KeepTag)
		}
		if answer.Err != nil {
			w.failed[i] = answer.Err
			continue
		}
		w.pinned[i] = answer.Pinned
	}
	return err != nil
}

// respond turns w into the response.
func (a *Admitter) respond(d *Decision, req *admissionv1.AdmissionRequest, w *work, unreachable bool) {
	for i, image := range w.pod.Images {
		if err := w.failed[i]; err != nil {
			d.Unresolved = append(d.Unresolved, oneLine(fmt.Sprintf("cannot pin image '%s' of %s: %v", image.Reference, image, err)))
		}
		if pinned, ok := w.pinned[i]; ok {
			d.Changes = append(d.Changes, Change{Image: image, Pinned: pinned})
		}
	}
	keep := a.settings.onUnresolved(req.Namespace) == Keep
	if len(d.Unresolved) > 0 && !keep {
		code, reason := int32(http.StatusForbidden), metav1.StatusReasonForbidden
		if unreachable {
			code, reason = http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable
		}
		d.deny(Denied, code, reason, sentences(d.Unresolved)+whoDenies(req.Namespace))
		return
	}
	patch, warnings, err := w.pod.Patch(w.pinned, w.old)
	if err != nil {
		d.deny(Failed, http.StatusInternalServerError, metav1.StatusReasonInternalError, err.Error())
		return
	}
	d.Outcome = outcome(d)
	if patch != nil {
		d.Response.Patch = patch
		d.Response.PatchType = new(admissionv1.PatchTypeJSONPatch)
	}
	for _, u := range d.Unresolved {
		warnings = append(warnings, u+" (kept as it is)")
	}
	for _, warning := range warnings {
		d.Response.Warnings = append(d.Response.Warnings, oneLine(warning))
	}
	d.Response.AuditAnnotations = audit(d)
}

// whoDenies says what decided, which is no policy: where all images are accepted
// nobody expects a denial.
func whoDenies(namespace string) string {
	return fmt.Sprintf(". The mutator denies what it cannot pin, whatever the policies accept, unless its setting pin.onUnresolvedByNamespace has '%s: keep'", namespace)
}

func outcome(d *Decision) Outcome {
	switch {
	case len(d.Unresolved) > 0:
		return Kept
	case len(d.Changes) > 0:
		return Pinned
	}
	return Unchanged
}

// audit annotates the API server's audit event, which prefixes each key with
// the webhook's name.
func audit(d *Decision) map[string]string {
	annotations := map[string]string{}
	if len(d.Changes) > 0 {
		var b strings.Builder
		for i, c := range d.Changes {
			if i > 0 {
				b.WriteString("; ")
			}
			fmt.Fprintf(&b, "%s: %s -> %s", c.Image, c.Image.Reference, c.Pinned)
		}
		annotations["pinned"] = b.String()
	}
	if len(d.Unresolved) > 0 {
		annotations["kept"] = sentences(d.Unresolved)
	}
	if len(annotations) == 0 {
		return nil
	}
	return annotations
}
