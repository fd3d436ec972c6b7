package admit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/wire"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// provider answers from tables and records what it was asked.
type provider struct {
	mu       sync.Mutex
	digests  map[string]string
	down     error
	status   report.Status
	reports  func(ctx context.Context, wait time.Duration)
	resolved []wire.Key
	scanned  []wire.Key
	waits    []time.Duration
}

func (p *provider) Digests(_ context.Context, keys []wire.Key) ([]wire.Resolved, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resolved = append(p.resolved, keys...)
	if p.down != nil {
		return nil, p.down
	}
	var out []wire.Resolved
	for _, k := range keys {
		r := wire.Resolved{Pinned: p.digests[k.Reference]}
		if r.Pinned == "" {
			r.Err = errors.New("the registry has no such image")
		}
		out = append(out, r)
	}
	return out, nil
}

func (p *provider) Reports(ctx context.Context, keys []wire.Key, wait time.Duration) ([]report.ScanReport, error) {
	p.mu.Lock()
	p.scanned, p.waits = append(p.scanned, keys...), append(p.waits, wait)
	block, status, down := p.reports, p.status, p.down
	p.mu.Unlock()
	if block != nil {
		block(ctx, wait)
	}
	if down != nil {
		return nil, down
	}
	out := make([]report.ScanReport, len(keys))
	for i, k := range keys {
		out[i] = report.ScanReport{ImageAndTag: k.Reference, Status: status}
	}
	return out, nil
}

func (p *provider) scans() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var refs []string
	for _, k := range p.scanned {
		refs = append(refs, k.Reference)
	}
	slices.Sort(refs)
	return refs
}

func known() *provider {
	return &provider{status: report.Accepted, digests: map[string]string{
		"a:1": "a@" + digest, "b:1": "b@" + digest, "debug:1": "debug@" + digest, "liar:1": "other@" + digest,
	}}
}

func settings() admit.Settings {
	return admit.Settings{OnUnresolved: admit.Reject, ResolveTimeout: time.Second, Wait: time.Minute, MaxWaiting: 2}
}

func pod(images ...string) *corev1.Pod {
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	for i, image := range images {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: image})
	}
	return p
}

func raw(t testing.TB, object any) runtime.RawExtension {
	t.Helper()
	b, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: b}
}

func create(t testing.TB, object any) *admissionv1.AdmissionRequest {
	t.Helper()
	return &admissionv1.AdmissionRequest{UID: "u", Namespace: "team", Operation: admissionv1.Create,
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Object: raw(t, object)}
}

func update(t testing.TB, old, object any) *admissionv1.AdmissionRequest {
	t.Helper()
	r := create(t, object)
	r.Operation, r.OldObject = admissionv1.Update, raw(t, old)
	return r
}

// patched applies the decision's patch to the request's Pod.
func patched(t *testing.T, req *admissionv1.AdmissionRequest, d *admit.Decision) *corev1.Pod {
	t.Helper()
	b := req.Object.Raw
	if d.Response.Patch != nil {
		patch, err := jsonpatch.DecodePatch(d.Response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = patch.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	var p corev1.Pod
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestPinsAndWaits(t *testing.T) {
	p := known()
	object := pod("a:1", "b@"+digest, "a:1")
	object.Spec.ServiceAccountName = "sa"
	object.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "s1"}, {Name: "s2"}}
	req := create(t, object)
	d := admit.New(p, settings()).Admit(t.Context(), req)
	if !d.Response.Allowed || d.Outcome != admit.Pinned || len(d.Changes) != 2 || d.Images != 3 {
		t.Fatalf("decision %+v, response %+v", d, d.Response)
	}
	got := patched(t, req, d)
	for i, want := range []string{"a@" + digest, "b@" + digest, "a@" + digest} {
		if got.Spec.Containers[i].Image != want {
			t.Errorf("container %d is %q", i, got.Spec.Containers[i].Image)
		}
	}
	if got.Annotations["original-image.imagegate.dev/c0"] != "a:1" || got.Annotations["original-image.imagegate.dev/c2"] != "a:1" || len(got.Annotations) != 2 {
		t.Errorf("annotations %v", got.Annotations)
	}
	if len(p.resolved) != 1 || p.resolved[0].String() != "a:1?namespace=team&pullSecret=s1&pullSecret=s2&serviceAccount=sa" {
		t.Errorf("resolved %v", p.resolved)
	}
	if !slices.Equal(p.scans(), []string{"a@" + digest, "b@" + digest}) || p.scanned[0].ServiceAccount != "sa" || p.waits[0] != time.Minute || d.Wait != admit.WaitFinal {
		t.Errorf("scanned %v, waits %v, result %s", p.scanned, p.waits, d.Wait)
	}
	if want := "container 'c0': a:1 -> a@" + digest; !strings.Contains(d.Response.AuditAnnotations["pinned"], want) {
		t.Errorf("audit annotations %v", d.Response.AuditAnnotations)
	}

	// Reinvocation: the same webhook sees its own work.
	again := create(t, got)
	if d := admit.New(p, settings()).Admit(t.Context(), again); d.Response.Patch != nil || d.Outcome != admit.Unchanged || len(p.resolved) != 1 {
		t.Errorf("reinvoked: %s, patch %s", d.Outcome, d.Response.Patch)
	}
}

// TestKeysAreThoseOfTheTemplates reads the table by which the templates are
// tested too: what is scanned here must be what Gatekeeper asks about.
func TestKeysAreThoseOfTheTemplates(t *testing.T) {
	text, err := os.ReadFile("../../templates/testdata/keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Pod   corev1.Pod `json:"pod"`
		Key   string     `json:"key"`
		Owner string     `json:"owner"`
	}
	if err := yaml.UnmarshalStrict(text, &cases); err != nil || len(cases) == 0 {
		t.Fatal(cases, err)
	}
	for _, c := range cases {
		for image, scanned := range map[string]string{"a/b@" + digest: "a/b@" + digest, "a:1": "a@" + digest} {
			p := known()
			c.Pod.Spec.Containers[0].Image = image
			req := create(t, &c.Pod)
			req.Namespace = c.Pod.Namespace
			admit.New(p, settings()).Admit(t.Context(), req)
			if len(p.scanned) != 1 {
				t.Fatalf("scanned %v, want %s", p.scanned, scanned+c.Key)
			}
			key := p.scanned[0]
			if key.Owner.String() != c.Owner {
				t.Errorf("the owner is %q, want %q", key.Owner, c.Owner)
			}
			key.Owner = owner.Reference{}
			if key.String() != scanned+c.Key {
				t.Errorf("scanned %v, want %s", key, scanned+c.Key)
			}
			if image != scanned && (len(p.resolved) != 1 || p.resolved[0].String() != image+c.Key) {
				t.Errorf("resolved %v, want %s", p.resolved, image+c.Key)
			}
		}
	}
}

// TestOwner has the question for the scan, and no other, name who will try again.
func TestOwner(t *testing.T) {
	web := owner.Reference{Kind: owner.ReplicaSet, Name: "web-5c", UID: "u-1"}
	owned := func(images ...string) *corev1.Pod {
		p := pod(images...)
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "batch/v1", Kind: "Job", Name: "other", UID: "u-0"},
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: web.Name, UID: types.UID(web.UID), Controller: &yes},
		}
		return p
	}
	elsewhere := create(t, owned("a:1"))
	elsewhere.Namespace = ""
	long := owned("a:1", "b:1")
	for i := range 75 {
		long.Spec.ImagePullSecrets = append(long.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: fmt.Sprintf("a-long-name-%d", i)})
	}
	for name, tc := range map[string]struct {
		req  *admissionv1.AdmissionRequest
		wait time.Duration
		want owner.Reference
	}{
		"a new Pod":          {create(t, owned("a:1", "b:1")), time.Minute, web},
		"nobody waits":       {create(t, owned("a:1")), 0, web},
		"a bare Pod":         {create(t, pod("a:1")), time.Minute, owner.Reference{}},
		"a Pod that exists":  {update(t, owned("a:1"), owned("b:1")), time.Minute, owner.Reference{}},
		"no namespace":       {elsewhere, time.Minute, owner.Reference{}},
		"no room in the key": {create(t, long), time.Minute, owner.Reference{}},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := known(), settings()
			s.Wait = tc.wait
			a := admit.New(p, s)
			a.Admit(t.Context(), tc.req)
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(p.scanned) == 0 {
				t.Fatal("nothing is scanned")
			}
			for _, k := range p.scanned {
				if k.Owner != tc.want {
					t.Errorf("%s is asked for by %q, want %q", k.Reference, k.Owner, tc.want)
				}
			}
			for _, k := range p.resolved {
				if k.Owner != (owner.Reference{}) {
					t.Errorf("the digest of %s is asked for by %q", k.Reference, k.Owner)
				}
			}
		})
	}
}

func TestKeepTag(t *testing.T) {
	s := settings()
	s.KeepTag = true
	req := create(t, pod("a:1"))
	if got := patched(t, req, admit.New(known(), s).Admit(t.Context(), req)); got.Spec.Containers[0].Image != "a:1@"+digest {
		t.Errorf("image %q", got.Spec.Containers[0].Image)
	}
}

func TestUnresolved(t *testing.T) {
	keep := settings()
	keep.ByNamespace = map[string]admit.Action{"team": admit.Keep}
	elsewhere := settings()
	elsewhere.OnUnresolved, elsewhere.ByNamespace = admit.Keep, map[string]admit.Action{"team": admit.Reject}
	down := func() *provider {
		p := known()
		p.down = fmt.Errorf("%w: connection refused", wire.ErrUnreachable)
		return p
	}
	for name, tc := range map[string]struct {
		provider *provider
		settings admit.Settings
		image    string
		want     string
		code     int32
	}{
		"unknown image":          {known(), settings(), "none:1", "cannot pin image 'none:1' of container 'c1': the registry has no such image", http.StatusForbidden},
		"unknown image, keep":    {known(), keep, "none:1", "cannot pin image 'none:1' of container 'c1': the registry has no such image", 0},
		"reject by namespace":    {known(), elsewhere, "none:1", "no such image", http.StatusForbidden},
		"provider down":          {down(), settings(), "a:1", "cannot pin image 'a:1' of container 'c1': the provider cannot be reached: connection refused", http.StatusServiceUnavailable},
		"provider down, keep":    {down(), keep, "a:1", "the provider cannot be reached", 0},
		"another repository":     {known(), settings(), "liar:1", "another repository", http.StatusForbidden},
		"invalid":                {known(), settings(), "NGINX", "cannot pin image 'NGINX' of container 'c1': not a valid image reference", http.StatusForbidden},
		"smuggled key parameter": {known(), settings(), "a:1?namespace=kube-system", "not a valid image reference", http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			req := create(t, pod("b@"+digest, tc.image))
			d := admit.New(tc.provider, tc.settings).Admit(t.Context(), req)
			if tc.code != 0 {
				if d.Response.Allowed || d.Outcome != admit.Denied || d.Response.Result.Code != tc.code || d.Response.Patch != nil ||
					!strings.Contains(d.Response.Result.Message, tc.want) ||
					!strings.HasSuffix(d.Response.Result.Message, ". The mutator denies what it cannot pin, whatever the policies accept, unless its setting pin.onUnresolvedByNamespace has 'team: keep'") {
					t.Errorf("%s, response %+v", d.Outcome, d.Response)
				}
				if len(tc.provider.scanned) != 0 {
					t.Error("a denied Pod's images are scanned")
				}
				return
			}
			if !d.Response.Allowed || d.Outcome != admit.Kept || len(d.Response.Warnings) != 1 ||
				!strings.Contains(d.Response.Warnings[0], tc.want) || d.Response.AuditAnnotations["kept"] == "" {
				t.Errorf("%s, response %+v", d.Outcome, d.Response)
			}
			if got := patched(t, req, d).Spec.Containers[1].Image; got != tc.image {
				t.Errorf("image %q", got)
			}
		})
	}
}

func TestKeepPinsTheOthers(t *testing.T) {
	s := settings()
	s.OnUnresolved = admit.Keep
	p := known()
	req := create(t, pod("a:1", "none:1"))
	d := admit.New(p, s).Admit(t.Context(), req)
	got := patched(t, req, d)
	if got.Spec.Containers[0].Image != "a@"+digest || got.Spec.Containers[1].Image != "none:1" || len(got.Annotations) != 1 {
		t.Errorf("Pod %+v %v", got.Spec.Containers, got.Annotations)
	}
	if !slices.Equal(p.scans(), []string{"a@" + digest}) {
		t.Errorf("scanned %q", p.scans())
	}
}

func TestManyUnresolvedFitInAMessage(t *testing.T) {
	images := make([]string, 40)
	for i := range images {
		images[i] = fmt.Sprintf("none:%d", i)
	}
	d := admit.New(known(), settings()).Admit(t.Context(), create(t, pod(images...)))
	if m := d.Response.Result.Message; !strings.Contains(m, "; and 30 more images. The mutator denies") || len(d.Unresolved) != 40 {
		t.Errorf("message %q", m)
	}
}

func TestUpdateTouchesChangedImagesOnly(t *testing.T) {
	p := known()
	old := pod("old:1", "b@"+digest, "a@"+digest)
	old.Annotations = map[string]string{"original-image.imagegate.dev/c1": "b:0", "original-image.imagegate.dev/c2": "a:0"}
	object := old.DeepCopy()
	object.Spec.Containers[2].Image = "a:1"
	req := update(t, old, object)
	d := admit.New(p, settings()).Admit(t.Context(), req)
	got := patched(t, req, d)
	if got.Spec.Containers[0].Image != "old:1" || got.Spec.Containers[2].Image != "a@"+digest {
		t.Errorf("containers %+v", got.Spec.Containers)
	}
	if got.Annotations["original-image.imagegate.dev/c1"] != "b:0" || got.Annotations["original-image.imagegate.dev/c2"] != "a:1" {
		t.Errorf("annotations %v", got.Annotations)
	}
	if !slices.Equal(p.scans(), []string{"a@" + digest}) || len(p.resolved) != 1 {
		t.Errorf("scanned %q, resolved %v", p.scans(), p.resolved)
	}
	// An unresolvable image that was there before is no reason to deny.
	if d := admit.New(p, settings()).Admit(t.Context(), update(t, old, old)); d.Outcome != admit.Unchanged || d.Response.Patch != nil || d.Wait != admit.WaitOff {
		t.Errorf("nothing changed: %+v", d)
	}
}

func TestEphemeralContainers(t *testing.T) {
	old := pod("legacy:1")
	object := old.DeepCopy()
	object.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "dbg", Image: "debug:1"}}}
	req := update(t, old, object)
	req.SubResource = "ephemeralcontainers"
	p := known()
	d := admit.New(p, settings()).Admit(t.Context(), req)
	got := patched(t, req, d)
	if d.Outcome != admit.Pinned || got.Spec.EphemeralContainers[0].Image != "debug:1@"+digest || got.Spec.Containers[0].Image != "legacy:1" || got.Annotations != nil {
		t.Errorf("%s: %+v %v", d.Outcome, got.Spec, got.Annotations)
	}
	if len(d.Response.Warnings) != 1 || !strings.Contains(d.Response.Warnings[0], "'debug:1'") {
		t.Errorf("warnings %q", d.Response.Warnings)
	}
}

func TestWorkloads(t *testing.T) {
	object := map[string]any{"spec": map[string]any{"template": pod("a:1")}}
	req := create(t, object)
	req.Resource = metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	if d := admit.New(known(), settings()).Admit(t.Context(), req); d.Outcome != admit.Ignored || !d.Response.Allowed {
		t.Errorf("not asked for: %+v", d)
	}
	s := settings()
	s.Workloads = []string{"Deployment"}
	if d := admit.New(known(), s).Admit(t.Context(), req); d.Outcome != admit.Pinned || !strings.Contains(string(d.Response.Patch), "/spec/template/spec/containers/0/image") {
		t.Errorf("asked for: %s %s", d.Outcome, d.Response.Patch)
	}
}

func TestIgnored(t *testing.T) {
	for name, change := range map[string]func(*admissionv1.AdmissionRequest){
		"delete": func(r *admissionv1.AdmissionRequest) {
			r.Operation, r.Object = admissionv1.Delete, runtime.RawExtension{}
		},
		"connect":        func(r *admissionv1.AdmissionRequest) { r.Operation, r.SubResource = admissionv1.Connect, "exec" },
		"status":         func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" },
		"other resource": func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "services" },
	} {
		req := create(t, pod("none:1"))
		change(req)
		if d := admit.New(known(), settings()).Admit(t.Context(), req); d.Outcome != admit.Ignored || !d.Response.Allowed || d.Response.Patch != nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A static Pod runs whatever the API server answers about its mirror, and only
// its node can say that it is one.
func TestMirrorPodsOfTheirNodeAreLeftAlone(t *testing.T) {
	const mirror = "kubernetes.io/config.mirror"
	static := func() *admissionv1.AdmissionRequest {
		p := pod("none:1")
		p.Annotations, p.Spec.NodeName = map[string]string{mirror: "x"}, "n1"
		req := create(t, p)
		req.UserInfo.Username, req.UserInfo.Groups = "system:node:n1", []string{"system:nodes", "system:authenticated"}
		return req
	}
	provider := known()
	if d := admit.New(provider, settings()).Admit(t.Context(), static()); d.Outcome != admit.Ignored || !d.Response.Allowed || d.Response.Patch != nil {
		t.Errorf("the node's own: %+v", d)
	}
	if len(provider.resolved) > 0 {
		t.Errorf("resolved %v", provider.resolved)
	}
	for name, change := range map[string]func(*admissionv1.AdmissionRequest){
		"another user":  func(r *admissionv1.AdmissionRequest) { r.UserInfo.Username = "alice" },
		"another node":  func(r *admissionv1.AdmissionRequest) { r.UserInfo.Username = "system:node:n2" },
		"another group": func(r *admissionv1.AdmissionRequest) { r.UserInfo.Groups = []string{"system:masters"} },
		"an update":     func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update },
		"no node": func(r *admissionv1.AdmissionRequest) {
			p := pod("none:1")
			p.Annotations = map[string]string{mirror: "x"}
			r.Object, r.UserInfo.Username = raw(t, p), "system:node:"
		},
		"no annotation": func(r *admissionv1.AdmissionRequest) {
			p := pod("none:1")
			p.Spec.NodeName = "n1"
			r.Object = raw(t, p)
		},
	} {
		req := static()
		change(req)
		if d := admit.New(known(), settings()).Admit(t.Context(), req); d.Outcome != admit.Denied || d.Response.Allowed {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestExemptImagesAreScannedButNotPinned(t *testing.T) {
	s := settings()
	for _, written := range []string{"r.example/agents", "docker.io/library/b"} {
		prefix, err := reference.ParsePrefix(written)
		if err != nil {
			t.Fatal(err)
		}
		s.Exempt = append(s.Exempt, prefix)
	}
	provider := known()
	provider.digests["r.example/agents-evil:1"] = "r.example/agents-evil@" + digest
	d := admit.New(provider, s).Admit(t.Context(), create(t, pod("a:1", "R.example:443/agents/x:1", "b:1", "r.example/agents-evil:1", "b@"+digest)))
	if !d.Response.Allowed || len(d.Changes) != 2 || d.Changes[0].Pinned != "a@"+digest || d.Changes[1].Pinned != "r.example/agents-evil@"+digest {
		t.Errorf("%+v", d)
	}
	want := []string{"R.example:443/agents/x:1", "a@" + digest, "b:1", "b@" + digest, "r.example/agents-evil@" + digest}
	slices.Sort(want)
	if got := provider.scans(); !slices.Equal(got, want) {
		t.Errorf("scanned %q, want %q", got, want)
	}
	invalid := admit.New(known(), s).Admit(t.Context(), create(t, pod("r.example/agents/../x:1")))
	if invalid.Response.Allowed {
		t.Error("an exempt image that no runtime can pull was let through")
	}
}

// What a Pod means by more platforms than can be asked about is not asked in
// pieces. One that exists already stays as it is.
func TestAPodOfTooManyPlatformsIsNotPinned(t *testing.T) {
	names := make([]string, 2000)
	for i := range names {
		names[i] = fmt.Sprintf("n%d", i)
	}
	wide := pod("a:1", "b@"+digest)
	wide.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: "kubernetes.io/os", Operator: corev1.NodeSelectorOpIn, Values: names},
			{Key: "kubernetes.io/arch", Operator: corev1.NodeSelectorOpIn, Values: names},
		}}},
	}}}
	provider := known()
	a := admit.New(provider, settings())
	if d := a.Admit(t.Context(), create(t, wide)); d.Response.Allowed || !strings.Contains(d.Response.Result.Message, "more than the 32 platforms") {
		t.Errorf("got %+v", d.Response)
	}
	if d := a.Admit(t.Context(), update(t, wide, wide)); !d.Response.Allowed || d.Response.Patch != nil {
		t.Errorf("an update that changes no image: %+v", d.Response)
	}
	if asked := len(provider.resolved) + len(provider.scans()); asked > 0 {
		t.Errorf("the provider was asked %d times", asked)
	}
}

// The provider is not asked for tens of thousands of images on one Pod's account,
// nor told of as many pull secrets with each of them.
func TestAPodOfTooManyImagesIsDenied(t *testing.T) {
	many := pod(slices.Repeat([]string{"a:1"}, 513)...)
	provider := known()
	a := admit.New(provider, settings())
	d := a.Admit(t.Context(), create(t, many))
	if d.Response.Allowed || !strings.Contains(d.Response.Result.Message, "513 containers and image volumes, and no more than 512") {
		t.Errorf("got %+v", d.Response)
	}
	if d := a.Admit(t.Context(), update(t, many, many)); !d.Response.Allowed {
		t.Errorf("an update that changes no image: %+v", d.Response)
	}
	if asked := len(provider.resolved) + len(provider.scans()); asked > 0 {
		t.Errorf("the provider was asked %d times", asked)
	}
	secretive := pod("a:1")
	for range 5000 {
		secretive.Spec.ImagePullSecrets = append(secretive.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: "s"})
	}
	a.Admit(t.Context(), create(t, secretive))
	if key := provider.resolved[0].String(); len(key) < 2048 || len(key) > 4096 {
		t.Errorf("a key of %d bytes", len(key))
	}
}

func TestUnreadableObjects(t *testing.T) {
	for _, object := range []string{"", "[]", `{"spec":{"containers":7}}`} {
		req := create(t, pod())
		req.Object.Raw = []byte(object)
		d := admit.New(known(), settings()).Admit(t.Context(), req)
		if d.Outcome != admit.Failed || d.Response.Allowed || d.Response.Result.Code != http.StatusBadRequest || !strings.Contains(d.Response.Result.Message, "object") {
			t.Errorf("%q: %s, %+v", object, d.Outcome, d.Response)
		}
	}
	req := update(t, pod("a:1"), pod("a:1"))
	req.OldObject.Raw = []byte(`{"spec":1}`)
	if d := admit.New(known(), settings()).Admit(t.Context(), req); d.Outcome != admit.Failed || !strings.Contains(d.Response.Result.Message, "oldObject") {
		t.Errorf("old object: %+v", d.Response)
	}
}

func TestDryRunResolvesOnly(t *testing.T) {
	p := known()
	req := create(t, pod("a:1"))
	req.DryRun = new(true)
	a := admit.New(p, settings())
	d := a.Admit(t.Context(), req)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.Outcome != admit.Pinned || d.Wait != admit.WaitOff || len(p.scans()) != 0 {
		t.Errorf("%+v, scanned %q", d, p.scans())
	}
}

func TestWaitOffStartsTheScans(t *testing.T) {
	p, s := known(), settings()
	s.Wait = 0
	a := admit.New(p, s)
	d := a.Admit(t.Context(), create(t, pod("a:1", "b@"+digest)))
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.Wait != admit.WaitOff || !slices.Equal(p.scans(), []string{"a@" + digest, "b@" + digest}) || p.waits[0] != 0 {
		t.Errorf("%+v, scanned %q with wait %v", d, p.scans(), p.waits)
	}
}

func TestWaitNeverDenies(t *testing.T) {
	for status, want := range map[report.Status]admit.WaitResult{
		report.Rejected: admit.WaitFinal, report.ScanFailed: admit.WaitPending, report.NotAvailable: admit.WaitPending,
	} {
		p := known()
		p.status = status
		if d := admit.New(p, settings()).Admit(t.Context(), create(t, pod("a:1"))); !d.Response.Allowed || d.Wait != want {
			t.Errorf("%s: %+v", status, d)
		}
	}
	p := known()
	p.down = wire.ErrUnreachable
	if d := admit.New(p, settings()).Admit(t.Context(), create(t, pod("a@"+digest))); !d.Response.Allowed || d.Wait != admit.WaitError || !errors.Is(d.WaitErr, wire.ErrUnreachable) {
		t.Errorf("provider down: %+v", d)
	}
}

func TestWaitEndsBeforeTheRequest(t *testing.T) {
	p := known()
	var deadlineOfCall time.Time
	p.reports = func(ctx context.Context, _ time.Duration) { deadlineOfCall, _ = ctx.Deadline() }
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
	defer cancel()
	admit.New(p, settings()).Admit(ctx, create(t, pod("a:1")))
	deadline, _ := ctx.Deadline()
	if p.waits[0] <= 0 || p.waits[0] > 8900*time.Millisecond || deadlineOfCall.After(deadline) {
		t.Errorf("waits %v, the call may last until %s, the request until %s", p.waits, deadlineOfCall, deadline)
	}
}

// TestWaitCap: of three that may wait a namespace has two, however many it
// creates, and another finds one free.
func TestWaitCap(t *testing.T) {
	p, s := known(), settings()
	s.MaxWaiting = 3
	release := make(chan struct{})
	entered := make(chan struct{}, 10)
	p.reports = func(_ context.Context, wait time.Duration) {
		if wait > 0 {
			entered <- struct{}{}
			<-release
		}
	}
	a := admit.New(p, s)
	results := make(chan admit.WaitResult, s.MaxWaiting)
	n := 0
	admitted := func(namespace string) *admit.Decision {
		n++
		req := create(t, ownedBy(fmt.Sprintf("web-%d", n), "a:1"))
		req.Namespace = namespace
		return a.Admit(context.Background(), req)
	}
	wait := func(namespace string) {
		go func() { results <- admitted(namespace).Wait }()
		<-entered // after which n is nobody else's
	}
	// capped returns although nobody releases the others.
	capped := func(namespace string) {
		if d := admitted(namespace); d.Wait != admit.WaitCapped || !d.Response.Allowed {
			t.Errorf("beyond the cap of %s: %+v", namespace, d)
		}
	}
	wait("evil")
	wait("evil")
	for range 4 {
		capped("evil")
	}
	wait("good")
	capped("third")
	if a.Waiting() != s.MaxWaiting {
		t.Errorf("%d wait", a.Waiting())
	}
	close(release)
	for range s.MaxWaiting {
		if r := <-results; r != admit.WaitFinal {
			t.Errorf("a waiting request ended as %s", r)
		}
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.Waiting() != 0 || len(p.scans()) != s.MaxWaiting+5 {
		t.Errorf("%d wait, %d questions", a.Waiting(), len(p.scans()))
	}
}

func TestWarningsAreOneLine(t *testing.T) {
	s := settings()
	s.OnUnresolved = admit.Keep
	d := admit.New(known(), s).Admit(t.Context(), create(t, pod("bad\nimage\x00"+strings.Repeat("é", 900))))
	if w := d.Response.Warnings[0]; strings.ContainsAny(w, "\n\x00") || len(w) > 600 {
		t.Errorf("warning %q", w)
	}
}
