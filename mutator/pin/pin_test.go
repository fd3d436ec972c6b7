package pin_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/imagegate/imagegate/mutator/pin"
)

const (
	digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func podLocation(t testing.TB, subresource string) pin.Location {
	t.Helper()
	l, ok := pin.Locate("", "pods", subresource)
	if !ok {
		t.Fatal("pods are not located")
	}
	return l
}

func read(t *testing.T, object string, l pin.Location) *pin.Pod {
	t.Helper()
	p, err := pin.Read([]byte(object), l)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pinAll answers every unpinned image with digest.
func pinAll(t testing.TB, p *pin.Pod, keepTag bool) map[int]string {
	t.Helper()
	pinned := map[int]string{}
	for i, image := range p.Images {
		if done, err := pin.Check(image.Reference); err != nil || done {
			continue
		}
		s, err := p.Pin(image.Reference, answer(image.Reference), keepTag)
		if err != nil {
			t.Fatalf("pinning %q: %v", image.Reference, err)
		}
		pinned[i] = s
	}
	return pinned
}

// answer is what a provider says for reference, made without pin's help.
func answer(reference string) string {
	if i := strings.LastIndex(reference, ":"); i > strings.LastIndex(reference, "/") {
		reference = reference[:i]
	}
	return reference + "@" + digest
}

func apply(t testing.TB, object string, patch []byte) map[string]any {
	t.Helper()
	doc := []byte(object)
	if patch != nil {
		p, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			t.Fatalf("patch %s: %v", patch, err)
		}
		if doc, err = p.Apply(doc); err != nil {
			t.Fatalf("patch %s does not apply: %v", patch, err)
		}
	}
	var m map[string]any
	if err := json.Unmarshal(doc, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func same(t *testing.T, got map[string]any, want string) {
	t.Helper()
	var w map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(want, "DIGEST", digest)), &w); err != nil {
		t.Fatalf("the test's own JSON: %v", err)
	}
	if !reflect.DeepEqual(got, w) {
		g, _ := json.MarshalIndent(got, "", " ")
		t.Errorf("got %s\nwant %s", g, want)
	}
}

func TestPinReference(t *testing.T) {
	for _, tc := range []struct{ reference, answer, want, keep string }{
		{"airadier/test:bad", "airadier/test@" + digest, "airadier/test@" + digest, "airadier/test:bad@" + digest},
		{"nginx", "nginx@" + digest, "nginx@" + digest, "nginx@" + digest},
		{"nginx:latest", "nginx@" + digest, "nginx@" + digest, "nginx:latest@" + digest},
		{"latest:latest", "latest@" + digest, "latest@" + digest, "latest:latest@" + digest},
		{"nginx", "index.docker.io/library/nginx@" + digest, "nginx@" + digest, "nginx@" + digest},
		{"localhost:5000/a/b:c", "localhost:5000/a/b@" + digest, "localhost:5000/a/b@" + digest, "localhost:5000/a/b:c@" + digest},
		{"localhost:5000/a/b", "localhost:5000/a/b@" + digest, "localhost:5000/a/b@" + digest, "localhost:5000/a/b@" + digest},
		{"[::1]:5000/a:5000", "[::1]:5000/a@" + digest, "[::1]:5000/a@" + digest, "[::1]:5000/a:5000@" + digest},
	} {
		if got, err := pin.Pin(tc.reference, tc.answer, false); err != nil || got != tc.want {
			t.Errorf("Pin(%q) = %q, %v, want %q", tc.reference, got, err, tc.want)
		}
		if got, err := pin.Pin(tc.reference, tc.answer, true); err != nil || got != tc.keep {
			t.Errorf("Pin(%q) keeping the tag = %q, %v, want %q", tc.reference, got, err, tc.keep)
		}
	}
	for _, bad := range []string{"other@" + digest, "nginx:1.2", "nginx", "", "nginx@sha256:abc", "nginx?x=y"} {
		if got, err := pin.Pin("nginx:1", bad, false); err == nil {
			t.Errorf("the answer %q was taken: %q", bad, got)
		}
	}
}

func TestCheck(t *testing.T) {
	for reference, want := range map[string]bool{"nginx": false, "a:1": false, "a@" + digest: true, "a:1@" + digest: true} {
		if got, err := pin.Check(reference); err != nil || got != want {
			t.Errorf("Check(%q) = %v, %v", reference, got, err)
		}
	}
	for _, bad := range []string{" nginx", "nginx:", "NGINX", "a:b:c", "nginx?namespace=kube-system", "nginx#", "a@sha256:1", "a\nb", "host.example/../api/x:1", "host.example/a:.."} {
		if _, err := pin.Check(bad); err == nil {
			t.Errorf("Check(%q) found it valid", bad)
		}
	}
}

func TestEveryImageOfAPod(t *testing.T) {
	const object = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","annotations":{"a/b":"kept"}},"future":{"x":1},
	"spec":{"serviceAccountName":"sa","imagePullSecrets":[{"name":"s1"},{},{"name":"s2"}],"newField":[1.5,12345678901234567],
	"initContainers":[{"name":"i","image":"init:1","later":true}],
	"containers":[{"name":"c","image":"localhost:5000/a/b:c"},{"name":"d","image":"done@` + digest + `"}],
	"ephemeralContainers":[{"name":"e","image":"debug"}],
	"volumes":[{"name":"none","emptyDir":{}},{"name":"c","image":{"reference":"models/m:2","pullPolicy":"Always"}}]}}`
	p := read(t, object, podLocation(t, ""))
	if p.ServiceAccount != "sa" || !slices.Equal(p.PullSecrets, []string{"s1", "s2"}) {
		t.Errorf("credentials: %q %q", p.ServiceAccount, p.PullSecrets)
	}
	patch, warnings, err := p.Patch(pinAll(t, p, false), nil)
	if err != nil || warnings != nil {
		t.Fatal(err, warnings)
	}
	same(t, apply(t, object, patch), `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","annotations":{"a/b":"kept",
	"original-image.imagegate.dev/i":"init:1","original-image.imagegate.dev/c":"localhost:5000/a/b:c",
	"original-image.imagegate.dev/e":"debug","volume.original-image.imagegate.dev/c":"models/m:2"}},"future":{"x":1},
	"spec":{"serviceAccountName":"sa","imagePullSecrets":[{"name":"s1"},{},{"name":"s2"}],"newField":[1.5,12345678901234567],
	"initContainers":[{"name":"i","image":"init@DIGEST","later":true}],
	"containers":[{"name":"c","image":"localhost:5000/a/b@DIGEST"},{"name":"d","image":"done@DIGEST"}],
	"ephemeralContainers":[{"name":"e","image":"debug@DIGEST"}],
	"volumes":[{"name":"none","emptyDir":{}},{"name":"c","image":{"reference":"models/m@DIGEST","pullPolicy":"Always"}}]}}`)
}

func TestTemplates(t *testing.T) {
	const template = `{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"a:1"}]}}`
	const want = `{"metadata":{"labels":{"a":"b"},"annotations":{"original-image.imagegate.dev/c":"a:1"}},"spec":{"containers":[{"name":"c","image":"a@DIGEST"}]}}`
	inSpec := [2]string{`{"metadata":{},"spec":{"replicas":2,"template":`, `}}`}
	for _, tc := range []struct {
		group, resource, kind string
		around                [2]string
	}{
		{"apps", "deployments", "Deployment", inSpec},
		{"apps", "statefulsets", "StatefulSet", inSpec},
		{"apps", "daemonsets", "DaemonSet", inSpec},
		{"apps", "replicasets", "ReplicaSet", inSpec},
		{"batch", "jobs", "Job", inSpec},
		{"", "replicationcontrollers", "ReplicationController", inSpec},
		{"batch", "cronjobs", "CronJob", [2]string{`{"spec":{"jobTemplate":{"spec":{"template":`, `}}}}`}},
		{"", "podtemplates", "PodTemplate", [2]string{`{"template":`, `}`}},
	} {
		l, ok := pin.Locate(tc.group, tc.resource, "")
		if !ok || l.Kind != tc.kind || !slices.Contains(pin.Workloads(), tc.kind) {
			t.Errorf("%s is located as %+v, %v", tc.resource, l, ok)
			continue
		}
		object := tc.around[0] + template + tc.around[1]
		p := read(t, object, l)
		patch, _, err := p.Patch(pinAll(t, p, false), nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, apply(t, object, patch), tc.around[0]+want+tc.around[1])
	}
}

func TestOtherResourcesAreNotLocated(t *testing.T) {
	for _, r := range [][3]string{{"", "pods", "status"}, {"", "pods", "binding"}, {"", "pods", "eviction"}, {"", "pods", "resize"},
		{"apps", "deployments", "scale"}, {"apps", "pods", ""}, {"", "services", ""}, {"", "", ""}} {
		if l, ok := pin.Locate(r[0], r[1], r[2]); ok {
			t.Errorf("%q is located as %+v", r, l)
		}
	}
}

func TestMissingMetadata(t *testing.T) {
	for _, metadata := range []string{``, `"metadata":null,`, `"metadata":{},`, `"metadata":{"annotations":null},`} {
		object := `{` + metadata + `"spec":{"containers":[{"name":"c","image":"a:1"}]}}`
		p := read(t, object, podLocation(t, ""))
		patch, _, err := p.Patch(pinAll(t, p, false), nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, apply(t, object, patch), `{"metadata":{"annotations":{"original-image.imagegate.dev/c":"a:1"}},
			"spec":{"containers":[{"name":"c","image":"a@DIGEST"}]}}`)
	}
}

func TestAnnotations(t *testing.T) {
	for _, tc := range []struct {
		name, image, have string
		want              string
		warns             bool
	}{
		{"truth over the author's claim", "nginx:evil", "nginx:good", "nginx:evil", false},
		{"again: pinned before", "nginx@" + digest, "nginx:1", "nginx:1", false},
		{"again, tag kept", "nginx:1@" + digest, "nginx:1", "nginx:1", false},
		{"same repository, other spelling", "nginx@" + digest, "docker.io/library/nginx:1", "docker.io/library/nginx:1", false},
		{"another repository", "evil@" + digest, "nginx:1", "", true},
		{"not a reference", "nginx@" + digest, "<script>", "", true},
		{"pinned without annotation", "nginx@" + digest, "", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			annotations := map[string]string{"mine": "x"}
			if tc.have != "" {
				annotations[pin.AnnotationPrefix+"c"] = tc.have
			}
			b, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations},
				"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": tc.image}}}})
			if err != nil {
				t.Fatal(err)
			}
			p := read(t, string(b), podLocation(t, ""))
			patch, warnings, err := p.Patch(pinAll(t, p, false), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := apply(t, string(b), patch)["metadata"].(map[string]any)["annotations"].(map[string]any)
			if v, _ := got[pin.AnnotationPrefix+"c"].(string); v != tc.want {
				t.Errorf("annotation = %q, want %q", v, tc.want)
			}
			if got["mine"] != "x" {
				t.Error("another annotation was lost")
			}
			if tc.warns != (len(warnings) > 0) {
				t.Errorf("warnings = %q", warnings)
			}
			if tc.want == tc.have && patch != nil {
				t.Errorf("patch %s although nothing is to change", patch)
			}
		})
	}
}

func TestAnnotationsOfWhatIsNotThere(t *testing.T) {
	const object = `{"metadata":{"annotations":{"original-image.imagegate.dev/gone":"a:1","original-image.imagegate.dev/with~tilde":"a:1",
		"volume.original-image.imagegate.dev/c":"a:1","original-image.imagegate.dev/kept":"b:0","x/y":"z"}},
		"spec":{"containers":[{"name":"kept","image":"b:1"}]}}`
	p := read(t, object, podLocation(t, ""))
	patch, warnings, err := p.Patch(nil, nil) // b:1 could not be resolved and is kept
	if err != nil {
		t.Fatal(err)
	}
	same(t, apply(t, object, patch), `{"metadata":{"annotations":{"x/y":"z"}},"spec":{"containers":[{"name":"kept","image":"b:1"}]}}`)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "original-image.imagegate.dev/kept") {
		t.Errorf("warnings = %q", warnings)
	}
}

func TestEphemeralContainersSubresource(t *testing.T) {
	const object = `{"metadata":{"annotations":{"original-image.imagegate.dev/gone":"a:1"}},
		"spec":{"containers":[{"name":"c","image":"discarded:1"}],"ephemeralContainers":[{"name":"debug","image":"busybox:1"},
		{"name":"untagged","image":"localhost:5000/busybox"}]}}`
	p := read(t, object, podLocation(t, "ephemeralcontainers"))
	patch, warnings, err := p.Patch(pinAll(t, p, false), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, apply(t, object, patch), `{"metadata":{"annotations":{"original-image.imagegate.dev/gone":"a:1"}},
		"spec":{"containers":[{"name":"c","image":"discarded:1"}],"ephemeralContainers":[{"name":"debug","image":"busybox:1@DIGEST"},
		{"name":"untagged","image":"localhost:5000/busybox:latest@DIGEST"}]}}`)
	if len(warnings) != 2 || !strings.Contains(warnings[0], "image 'busybox:1' of ephemeral container 'debug' was pinned") {
		t.Errorf("warnings = %q", warnings)
	}
}

func TestUnchanged(t *testing.T) {
	l := podLocation(t, "")
	old := read(t, `{"spec":{"containers":[{"name":"a","image":"a:1"},{"name":"b","image":"b:1"},{"name":"c","image":"c:1"}]}}`, l)
	p := read(t, `{"spec":{"initContainers":[{"name":"c","image":"c:1"}],"containers":[{"name":"b","image":"b:1"},{"name":"a","image":"a:2"},{"name":"n","image":"a:1"}]}}`, l)
	got := p.Unchanged(old)
	for i, image := range p.Images {
		if want := image.Name == "b"; got[i] != want {
			t.Errorf("%s: unchanged = %v", image, got[i])
		}
	}
	if len(p.Unchanged(nil)) != 0 {
		t.Error("images are unchanged from nothing")
	}
}

func TestInvalidContainerNamesAreNotAnnotated(t *testing.T) {
	const object = `{"spec":{"containers":[{"image":"a:1"},{"name":"Not A/Label","image":"a:1"}]}}`
	p := read(t, object, podLocation(t, ""))
	patch, _, err := p.Patch(pinAll(t, p, false), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, apply(t, object, patch), `{"spec":{"containers":[{"image":"a@DIGEST"},{"name":"Not A/Label","image":"a@DIGEST"}]}}`)
}

func TestMalformedObjects(t *testing.T) {
	for object, want := range map[string]string{
		`[]`:                                                 "not a JSON object",
		`{`:                                                  "not a JSON object",
		`{"spec":[]}`:                                        "spec is not an object",
		`{"metadata":1}`:                                     "metadata is not an object",
		`{"metadata":{"annotations":{"a":1}}}`:               "a is not a string",
		`{"spec":{"containers":{}}}`:                         "containers is not a list",
		`{"spec":{"containers":[1]}}`:                        "containers[0] is not an object",
		`{"spec":{"containers":[{"image":1}]}}`:              "containers[0]: image is not a string",
		`{"spec":{"volumes":[{"image":"a"}]}}`:               "volumes[0]: image is not an object",
		`{"spec":{"imagePullSecrets":"a"}}`:                  "imagePullSecrets is not a list",
		`{"spec":{"serviceAccountName":["root"]}}`:           "serviceAccountName is not a string",
		`{"spec":{"nodeSelector":"a"}}`:                      "nodeSelector is not an object",
		`{"spec":{"os":"linux"}}`:                            "os is not an object",
		`{"spec":{"os":{"name":1}}}`:                         "name is not a string",
		`{"spec":{"nodeSelector":{"kubernetes.io/os":1}}}`:   "kubernetes.io/os is not a string",
		`{"spec":{"nodeSelector":{"kubernetes.io/arch":1}}}`: "kubernetes.io/arch is not a string",
	} {
		if _, err := pin.Read([]byte(object), podLocation(t, "")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%s): %v, want %q", object, err, want)
		}
	}
	for _, object := range []string{`{}`, `null`, `{"spec":null}`, `{"spec":{"containers":null}}`, `{"spec":{"containers":[{"name":"c"}]}}`} {
		if p, err := pin.Read([]byte(object), podLocation(t, "")); err != nil || len(p.Images) != 0 {
			t.Errorf("Read(%s): %v, %v", object, p, err)
		}
	}
}

// FuzzPatch: whatever object is read, the patch applies, every image then has a
// digest, and a second round changes nothing.
func FuzzPatch(f *testing.F) {
	f.Add(`{"metadata":{"annotations":{"original-image.imagegate.dev/c":"x"}},"spec":{"containers":[{"name":"c","image":"a:1"}]}}`, "", false)
	f.Add(`{"spec":{"initContainers":[{"name":"c","image":"a"}],"volumes":[{"name":"c","image":{"reference":"h:1/b:2"}}]}}`, "ephemeralcontainers", true)
	f.Add(`{"metadata":{"annotations":{"original-image.imagegate.dev/~/":"x"}},"spec":{"containers":[{"image":"a"},{"name":"c","image":"a"},{"name":"c","image":"b"}]}}`, "", false)
	f.Add(`{"spec":{"containers":[{"image":"a"}],"containers":[{"name":"c"}]}}`, "", false)
	f.Fuzz(func(t *testing.T, object, subresource string, keepTag bool) {
		l, ok := pin.Locate("", "pods", subresource)
		if !ok {
			return
		}
		p, err := pin.Read([]byte(object), l)
		if err != nil {
			return
		}
		pinned := pinAll(t, p, keepTag)
		patch, _, err := p.Patch(pinned, nil)
		if err != nil {
			t.Fatal(err)
		}
		after, err := json.Marshal(apply(t, object, patch))
		if err != nil {
			t.Fatal(err)
		}
		q, err := pin.Read(after, l)
		if err != nil || len(q.Images) != len(p.Images) {
			t.Fatalf("after the patch: %v, %d images, before %d", err, len(q.Images), len(p.Images))
		}
		for i := range q.Images {
			want, ok := pinned[i]
			if !ok {
				want = p.Images[i].Reference
			}
			if q.Images[i].Reference != want {
				t.Errorf("%s is %q, want %q", q.Images[i], q.Images[i].Reference, want)
			}
		}
		again := pinAll(t, q, keepTag)
		if patch, _, err := q.Patch(again, nil); len(again) > 0 || err != nil || patch != nil {
			t.Errorf("a second round changes %v: %s, %v", slices.Collect(maps.Keys(again)), patch, err)
		}
	})
}
