package templates_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	mutationtypes "github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/types"
	gatekeeper "github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/wire"
)

const fivePlaces = `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop}
spec:
  serviceAccountName: runner
  imagePullSecrets: [{name: b}, {name: a}]
  nodeSelector: {kubernetes.io/arch: arm64, kubernetes.io/os: linux}
  initContainers: [{name: init, image: "good:1"}]
  containers: [{name: app, image: "bad:1"}, {name: twin, image: "bad:1"}]
  ephemeralContainers: [{name: debug, image: "slow:1"}]
  volumes: [{name: models, image: {reference: "broken:1"}}, {name: tmp, emptyDir: {}}]
`

func TestEveryPlaceOfAnImageIsJudged(t *testing.T) {
	e := newEngine(t, time.Minute)
	e.provider.reports = map[string]map[string]any{
		"good:1":   {"ImageAndTag": "good:1", "Status": "accepted"},
		"bad:1":    {"ImageAndTag": "bad:1", "Status": "rejected", "Message": "CVE-1 (High) in a 1, fixed in 2"},
		"broken:1": {"ImageAndTag": "broken:1", "Status": "scan_failed", "Message": "no such image"},
	}
	text := readFile(t, "imagescanpolicy/template.yaml")
	e.addTemplate(t, text)
	e.addConstraint(t, "ImageScanPolicy", "scan", `{help: Ask security.}`)

	want := []string{
		"Image 'bad:1' REJECTED. Global default policy - scan result is 'reject': CVE-1 (High) in a 1, fixed in 2. Ask security.",
		"Image 'broken:1' REJECTED. Global default policy - scan failed: no such image. Ask security.",
		"Image 'slow:1' REJECTED. Global default policy - scan report is pending: no report yet, the image is being scanned: try again shortly. Ask security.",
	}
	if diff := cmp.Diff(want, e.review(t, creation(t, fivePlaces))); diff != "" {
		t.Error(diff)
	}
	if e.provider.calls != 1 {
		t.Errorf("%d calls for one Pod", e.provider.calls)
	}
	query := mustQuery(t, e.provider.asked[0])
	if diff := cmp.Diff(map[string][]string{
		"namespace": {"shop"}, "serviceAccount": {"runner"}, "pullSecret": {"b", "a"}, "platform": {"linux/arm64"},
	}, map[string][]string(query)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"bad:1", "broken:1", "good:1", "slow:1"}, e.provider.images()); diff != "" {
		t.Error(diff)
	}
}

// TestAsManyImagesAsTheProviderTakes holds the templates' limit against the
// provider's: beyond it a failed request could read as accepted.
func TestAsManyImagesAsTheProviderTakes(t *testing.T) {
	most := config.Default().Server.Limits.Keys
	for images, want := range map[int][]string{
		most:     nil,
		most + 1: {fmt.Sprintf("The Pod has %d distinct images, and no more than %d can be judged: split it", most+1, most)},
	} {
		e := scanEngine(t, "{scanPolicies: {reportPending: accept, scanFailed: accept}}")
		var containers strings.Builder
		for i := range images {
			fmt.Fprintf(&containers, "  - {name: c%d, image: \"app:%d\"}\n", i, i)
		}
		pod, _, _ := strings.Cut(onePod, "  containers:")
		if diff := cmp.Diff(want, e.review(t, creation(t, pod+"  containers:\n"+containers.String()))); diff != "" {
			t.Error(diff)
		}
		if asked := len(e.provider.asked); want == nil && asked != most || want != nil && asked != 0 {
			t.Errorf("%d images: asked for %d", images, asked)
		}
	}
}

// TestKeysAreThoseOfTheMutator asks for the Pods of a table that the mutator's
// tests (mutator/admit) read as well.
func TestKeysAreThoseOfTheMutator(t *testing.T) {
	var cases []struct {
		Pod   map[string]any `json:"pod"`
		Key   string         `json:"key"`
		Owner string         `json:"owner"` // the mutator's
	}
	if err := yaml.UnmarshalStrict(readFile(t, "testdata/keys.yaml"), &cases); err != nil || len(cases) == 0 {
		t.Fatal(cases, err)
	}
	for _, c := range cases {
		e := scanEngine(t, "{}")
		c.Pod["apiVersion"], c.Pod["kind"] = "v1", "Pod"
		e.review(t, creation(t, string(mustJSON(t, c.Pod))))
		image := "a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		if diff := cmp.Diff([]string{image + c.Key}, e.provider.asked); diff != "" {
			t.Error(diff)
		}
	}
}

// TestNoTemplateSendsTheOwner tries every template: Gatekeeper remembers answers
// by their whole key, so one that names the Pod's owner would be of use to nobody
// else.
func TestNoTemplateSendsTheOwner(t *testing.T) {
	pod, _ := strings.CutPrefix(onePod, "\n")
	pod = strings.Replace(pod, "namespace: shop}", "namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5c, uid: u-1, controller: true}]}", 1)
	files, err := filepath.Glob("*/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, file := range files {
		e := newEngine(t, time.Minute)
		text := readFile(t, file)
		e.addTemplate(t, text)
		kind := versionlessTemplate(t, text).Spec.CRD.Spec.Names.Kind
		parameters := "{}"
		if kind == "ImageRegistryAllowed" {
			parameters = "{registries: [docker.io]}"
		}
		e.addConstraint(t, kind, "all", parameters)
		e.review(t, creation(t, pod))
		for _, key := range e.provider.asked {
			asked++
			parsed, err := wire.ParseKey(key)
			if err != nil || parsed.Owner != (owner.Reference{}) || strings.Contains(key, "web-5c") {
				t.Errorf("%s asks for %s (%v)", file, key, err)
			}
		}
	}
	if asked < 2 {
		t.Fatalf("%d keys were asked for by %d templates: the test shows nothing", asked, len(files))
	}
}

const onePod = `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop}
spec:
  containers: [{name: app, image: "app:1"}]
`

func scanEngine(t *testing.T, parameters string) *engine {
	t.Helper()
	e := newEngine(t, time.Minute)
	e.addTemplate(t, readFile(t, "imagescanpolicy/template.yaml"))
	e.addConstraint(t, "ImageScanPolicy", "scan", parameters)
	return e
}

func TestAPendingImageIsAskedForAgain(t *testing.T) {
	e := scanEngine(t, "{}")
	request := creation(t, onePod)
	e.provider.reports["app:1"] = map[string]any{"ImageAndTag": "app:1", "Status": "report_not_available", "Message": "scanning for 2s"}
	want := []string{"Image 'app:1' REJECTED. Global default policy - scan report is pending: scanning for 2s."}
	if diff := cmp.Diff(want, e.review(t, request)); diff != "" {
		t.Error(diff)
	}
	e.provider.reports["app:1"] = map[string]any{"ImageAndTag": "app:1", "Status": "accepted"}
	if got := e.review(t, request); got != nil {
		t.Errorf("the pending answer was kept: %v", got)
	}
	if e.review(t, request); e.provider.calls != 2 {
		t.Errorf("%d calls, the final answer was not kept", e.provider.calls)
	}
}

func TestConstraintsOfAKindShareTheCall(t *testing.T) {
	e := scanEngine(t, "{}")
	e.addConstraint(t, "ImageScanPolicy", "scan-too", `{report: warnings, breakGlass: {users: [alice]}}`)
	if got := e.review(t, creation(t, onePod)); len(got) != 1 {
		t.Error(got)
	}
	if e.provider.calls != 1 {
		t.Errorf("%d calls", e.provider.calls)
	}
}

func TestAProviderThatCannotAnswerDenies(t *testing.T) {
	e := scanEngine(t, "{}")
	e.provider.failure = "the scan queue is full"
	want := []string{"Image 'app:1' REJECTED. Global default policy - scan failed: the scan provider 'imagegate-provider' could not be asked: the scan queue is full."}
	if diff := cmp.Diff(want, e.review(t, creation(t, onePod))); diff != "" {
		t.Error(diff)
	}
	e.provider.stop()
	got := e.review(t, creation(t, strings.ReplaceAll(onePod, "app:1", "app:2")))
	if len(got) != 1 || !strings.HasPrefix(got[0], "Image 'app:2' REJECTED. Global default policy - scan failed: the scan provider 'imagegate-provider' could not be asked: ") {
		t.Error(got)
	}
	missing := scanEngine(t, "{provider: elsewhere}")
	got = missing.review(t, creation(t, onePod))
	want = []string{"Image 'app:1' REJECTED. Global default policy - scan failed: there is no Provider 'elsewhere' (parameter provider): kubectl get providers.externaldata.gatekeeper.sh lists those that there are."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestImagesDecidedBeforeTheScanAreNotSent(t *testing.T) {
	e := scanEngine(t, `{preScanPolicies: {customPolicies: [{prefix: evil/, action: reject}, {prefix: base/, action: accept}]}}`)
	judge := func(images string) []string {
		return e.review(t, creation(t, strings.Replace(onePod, `[{name: app, image: "app:1"}]`, images, 1)))
	}
	if diff := cmp.Diff([]string{"Image 'evil/a' REJECTED. Global custom policy (prefix 'evil/')"}, judge(`[{name: a, image: evil/a}, {name: b, image: app}]`)); diff != "" {
		t.Error(diff)
	}
	if got := judge(`[{name: a, image: base/a}]`); got != nil || e.provider.calls != 0 {
		t.Error(got, e.provider.calls)
	}
	judge(`[{name: a, image: base/a}, {name: b, image: app}]`)
	if diff := cmp.Diff([]string{"app"}, e.provider.images()); diff != "" {
		t.Error(diff)
	}
}

func TestAuditJudgesThePodItself(t *testing.T) {
	e := scanEngine(t, "{}")
	pod := &unstructured.Unstructured{Object: plainJSON(t, onePod).(map[string]any)}
	responses, err := e.Review(t.Context(), gatekeeper.AugmentedUnstructured{Object: *pod, Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}},
		reviews.EnforcementPoint(util.WebhookEnforcementPoint))
	if err != nil {
		t.Fatal(err)
	}
	if results := responses.Results(); len(results) != 1 || !strings.Contains(results[0].Msg, "scan report is pending") {
		t.Error(results)
	}
}

// TestTheUpdateOfAWorkloadIsNotJudged reviews the Pod of an ExpansionTemplate as
// Gatekeeper's webhook does (createReviewForResultant).
func TestTheUpdateOfAWorkloadIsNotJudged(t *testing.T) {
	e := scanEngine(t, "{scanPolicies: {defaultPolicy: reject}}")
	for operation, want := range map[admissionv1.Operation]int{admissionv1.Create: 1, admissionv1.Update: 0, admissionv1.Delete: 0, "": 1} {
		responses, err := e.Review(t.Context(), gatekeeper.AugmentedUnstructured{
			Object:    unstructured.Unstructured{Object: plainJSON(t, onePod).(map[string]any)},
			Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
			Operation: operation,
			Source:    mutationtypes.SourceTypeGenerated,
		}, reviews.EnforcementPoint(util.WebhookEnforcementPoint))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(responses.Results()); got != want {
			t.Errorf("%q: %d denials, want %d", operation, got, want)
		}
	}
	request := creation(t, onePod)
	request.Operation, request.UserInfo.Username = admissionv1.Update, "alice"
	if got := e.review(t, request); len(got) != 1 {
		t.Errorf("an update without the old Pod: %v", got)
	}
}

func TestAnUpdateIsJudgedByWhatItChanges(t *testing.T) {
	e := scanEngine(t, "{scanPolicies: {defaultPolicy: reject}}")
	update := creation(t, strings.Replace(onePod, "  containers:", "  ephemeralContainers: [{name: debug, image: \"shell:1\"}]\n  containers:", 1))
	update.Operation, update.SubResource = admissionv1.Update, "ephemeralcontainers"
	update.OldObject = creation(t, onePod).Object
	if diff := cmp.Diff([]string{"Image 'shell:1' REJECTED. Global default policy - policy action is 'reject'"}, e.review(t, update)); diff != "" {
		t.Error(diff)
	}
	update.Object = update.OldObject
	if got := e.review(t, update); got != nil {
		t.Error(got)
	}
}
