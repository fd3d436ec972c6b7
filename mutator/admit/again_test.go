package admit_test

import (
	"maps"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/wire"
)

// first is the digest that a tag had when the stored Pod was admitted.
const first = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

const (
	ofC0   = "original-image.imagegate.dev/c0"
	ofC1   = "original-image.imagegate.dev/c1"
	ofInit = "original-image.imagegate.dev/init"
	ofData = "volume.original-image.imagegate.dev/data"
)

// stored is a Pod as it was written, and the same as the mutator left it when
// a:1 and b:1 were first.
func stored() (written, was *corev1.Pod) {
	of := func(a, b string) *corev1.Pod {
		p := pod(a, b)
		p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: b}}
		p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: a}}}}
		return p
	}
	was = of("a@"+first, "b@"+first)
	was.Annotations = map[string]string{ofC0: "a:1", ofC1: "b:1", ofInit: "b:1", ofData: "a:1"}
	return of("a:1", "b:1"), was
}

func imagesOf(p *corev1.Pod) []string {
	return []string{p.Spec.Containers[0].Image, p.Spec.Containers[1].Image, p.Spec.InitContainers[0].Image, p.Spec.Volumes[0].Image.Reference}
}

// TestAppliedAgain: the tags have moved to another digest, which the provider
// says to whoever asks.
func TestAppliedAgain(t *testing.T) {
	keep := []string{"a@" + first, "b@" + first, "b@" + first, "a@" + first}
	all := map[string]string{ofC0: "a:1", ofC1: "b:1", ofInit: "b:1", ofData: "a:1"}
	with := func(base map[string]string, key, value string) map[string]string {
		out := maps.Clone(base)
		if out[key] = value; value == "" {
			delete(out, key)
		}
		return out
	}
	for name, tc := range map[string]struct {
		// change makes of the manifest what arrives in the update, and of the stored
		// Pod what is there.
		change      func(object, was *corev1.Pod)
		images      []string
		annotations map[string]string
		resolved    int
		warnings    int
	}{
		"replaced: the manifest has no annotations": {func(*corev1.Pod, *corev1.Pod) {}, keep, all, 0, 0},
		"applied: the stored annotations are kept":  {func(o, was *corev1.Pod) { o.Annotations = maps.Clone(was.Annotations) }, keep, all, 0, 0},
		"another container changes": {func(o, _ *corev1.Pod) { o.Spec.Containers[1].Image = "b:2" },
			[]string{"a@" + first, "b@" + digest, "b@" + first, "a@" + first}, with(all, ofC1, "b:2"), 1, 0},
		"only one image is written again": {func(o, was *corev1.Pod) {
			image := o.Spec.Containers[0].Image
			*o = *was.DeepCopy()
			o.Spec.Containers[0].Image = image
		}, keep, all, 0, 0},
		"another spelling is another reference": {func(o, _ *corev1.Pod) { o.Spec.Containers[0].Image = "docker.io/library/a:1" },
			[]string{"docker.io/library/a@" + digest, "b@" + first, "b@" + first, "a@" + first}, with(all, ofC0, "docker.io/library/a:1"), 1, 0},
		"the update's annotation is its author's": {func(o, was *corev1.Pod) {
			delete(was.Annotations, ofC0)
			o.Annotations = map[string]string{ofC0: "a:1"}
		}, []string{"a@" + digest, "b@" + first, "b@" + first, "a@" + first}, all, 1, 0},
		"the update's annotation says another tag": {func(o, _ *corev1.Pod) { o.Annotations = map[string]string{ofC0: "a:2"} }, keep, all, 0, 0},
		"the update says of a pinned image what it was not": {func(o, was *corev1.Pod) {
			*o = *was.DeepCopy()
			o.Annotations[ofC0] = "a:2"
		}, keep, all, 0, 1},
		"the update says nothing of a pinned image": {func(o, was *corev1.Pod) {
			*o = *was.DeepCopy()
			o.Annotations = nil
		}, keep, all, 0, 0},
		"the stored annotation is of another repository": {func(_, was *corev1.Pod) {
			was.Spec.Containers[0].Image = "evil@" + first
		}, []string{"a@" + digest, "b@" + first, "b@" + first, "a@" + first}, all, 1, 0},
		"the stored image has no digest": {func(_, was *corev1.Pod) {
			was.Spec.Containers[0].Image = "a:0"
		}, []string{"a@" + digest, "b@" + first, "b@" + first, "a@" + first}, all, 1, 0},
		"the tag stands beside the digest": {func(_, was *corev1.Pod) {
			was.Spec.Containers[0].Image = "a:1@" + first
		}, []string{"a:1@" + first, "b@" + first, "b@" + first, "a@" + first}, all, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			object, was := stored()
			tc.change(object, was)
			p := known()
			p.digests["b:2"], p.digests["docker.io/library/a:1"] = "b@"+digest, "docker.io/library/a@"+digest
			a := admit.New(p, settings())
			req := update(t, was, object)
			d := a.Admit(t.Context(), req)
			if !d.Response.Allowed {
				t.Fatalf("denied: %+v", d.Response.Result)
			}
			got := patched(t, req, d)
			for i, image := range imagesOf(got) {
				if image != tc.images[i] {
					t.Errorf("image %d is %s, want %s", i, image, tc.images[i])
				}
			}
			if !maps.Equal(got.Annotations, tc.annotations) {
				t.Errorf("annotations %v, want %v", got.Annotations, tc.annotations)
			}
			if len(p.resolved) != tc.resolved || len(p.scanned) != tc.resolved || len(d.Response.Warnings) != tc.warnings {
				t.Errorf("resolved %v, scanned %v, warnings %q", p.resolved, p.scanned, d.Response.Warnings)
			}
			// Another webhook changed the Pod, and this one is asked once more.
			again := update(t, was, got)
			if d := a.Admit(t.Context(), again); d.Response.Patch != nil || !d.Response.Allowed {
				t.Errorf("reinvoked: %s, %s", d.Outcome, d.Response.Patch)
			}
		})
	}
}

// TestAppliedAgainWithoutRegistry: what changes nothing needs nobody.
func TestAppliedAgainWithoutRegistry(t *testing.T) {
	object, was := stored()
	d := admit.New(&provider{down: wire.ErrUnreachable}, settings()).Admit(t.Context(), update(t, was, object))
	if !d.Response.Allowed || d.Outcome != admit.Pinned || len(d.Changes) != 4 || d.Changes[0].Pinned != "b@"+first {
		t.Errorf("%s: %+v, %+v", d.Outcome, d.Changes, d.Response.Result)
	}
}

// TestExemptAppliedAgain: an exempt image is left as it is written, although it
// was pinned before it was exempt.
func TestExemptAppliedAgain(t *testing.T) {
	object, was := stored()
	s := settings()
	prefix, err := reference.ParsePrefix("docker.io/library/a")
	if err != nil {
		t.Fatal(err)
	}
	s.Exempt = append(s.Exempt, prefix)
	req := update(t, was, object)
	if got := patched(t, req, admit.New(known(), s).Admit(t.Context(), req)); got.Spec.Containers[0].Image != "a:1" || got.Annotations[ofC0] != "" {
		t.Errorf("image %s, annotations %v", got.Spec.Containers[0].Image, got.Annotations)
	}
}

// TestTemplateAppliedAgain: the same in the template of a Deployment.
func TestTemplateAppliedAgain(t *testing.T) {
	object, was := stored()
	of := func(p *corev1.Pod) any { return map[string]any{"spec": map[string]any{"template": p}} }
	req := &admissionv1.AdmissionRequest{UID: "u", Namespace: "team", Operation: admissionv1.Update,
		Resource: metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
		Object:   raw(t, of(object)), OldObject: raw(t, of(was))}
	s := settings()
	s.Workloads = []string{"Deployment"}
	p := known()
	if d := admit.New(p, s).Admit(t.Context(), req); d.Outcome != admit.Pinned || len(d.Changes) != 4 || d.Changes[2].Pinned != "b@"+first || len(p.resolved) > 0 {
		t.Errorf("%s: %+v, resolved %v", d.Outcome, d.Changes, p.resolved)
	}
}
