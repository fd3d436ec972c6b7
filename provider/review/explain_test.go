package review

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/imagegate/imagegate/provider/review/loopback"
)

// Rules in the style of "Performing Image Scanning on Admission Controller with OPA",
// https://sysdig.com/blog/image-scanning-admission-controller/, as a policy author
// would paste them into the Rego Playground beside the explained input.
const denyRules = `
package imagegate

allow_image { input.ScanReport.Status == "accepted" }

allow_image { input.AdmissionRequest.object.metadata.namespace == "dev" }

deny_image[msg] {
  not allow_image
  msg := sprintf("%s: %s by %s", [input.ContainerObject.name, input.ScanReport.Status, input.AdmissionRequest.userInfo.username])
}

deny_image["no pull policy"] { not input.ContainerObject.imagePullPolicy }

deny_image["no host network"] { input.PodObject.spec.hostNetwork }

deny_image["the scanner says no"] { input.ScanReport.InnerReport.status == "fail" }
`

func TestExplainedInputFeedsTheRules(t *testing.T) {
	p := policies(t, "kind: TestStatus\nmetadata: {name: c}\nspec: {parameters: {view: full}}", "kind: TestStatus\nmetadata: {name: summary}")
	e := newEngine(t, Config{Policies: p, Explain: true, Data: data(t, `
- {ImageAndTag: 'bad:1', Status: rejected, InnerReport: {status: fail}}
- {ImageAndTag: 'good:1', Status: accepted}`)})
	o := object(t, `{operation: CREATE, userInfo: {username: ann}, object: {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {
		hostNetwork: true,
		containers: [{name: a, image: "bad:1"}, {name: b, image: "good:1", imagePullPolicy: Always}]}}}`, Defaults{})
	r, err := e.Review(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Explained) != 2 {
		t.Fatalf("%d explanations", len(r.Explained))
	}
	for i, want := range []string{"a: rejected by ann|no host network|no pull policy|the scanner says no", "no host network"} {
		if got := denied(t, r.Explained[i].Input); got != want {
			t.Errorf("container %s: %s, want %s", r.Explained[i].Container, got, want)
		}
	}
}

func denied(t *testing.T, input json.RawMessage) string {
	t.Helper()
	var in map[string]any
	if err := json.Unmarshal(input, &in); err != nil {
		t.Fatal(err)
	}
	results, err := rego.New(rego.Query("data.imagegate.deny_image"), rego.Module("rules.rego", denyRules),
		rego.SetRegoVersion(ast.RegoV0), rego.Input(in)).Eval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, m := range results[0].Expressions[0].Value.([]any) {
		messages = append(messages, m.(string))
	}
	slices.Sort(messages)
	return strings.Join(messages, "|")
}

func TestExplanationsOfAWorkload(t *testing.T) {
	e := newEngine(t, Config{Policies: policies(t, "kind: TestStatus\nmetadata: {name: c}"), Explain: true})
	r, err := e.Review(t.Context(), object(t, "{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: a}]}}}}}}", Defaults{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Explained) != 1 || r.Explained[0].Pod != "nightly-job-pod" || r.Explained[0].Container != "containers/c" {
		t.Errorf("got %+v", r.Explained)
	}
	if !strings.Contains(string(r.Explained[0].Input), `"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"nightly-job"`) {
		t.Errorf("got %s", r.Explained[0].Input)
	}
}

func TestReportsThatAreNot(t *testing.T) {
	reports := answersOf([]loopback.Exchange{
		{Path: reportsPath, Keys: []string{"error", "silence", "twice?view=full"}, Items: []externaldata.Item{
			{Key: "error", Error: "bad key"},
			{Key: "twice?view=full", Value: map[string]any{"ImageAndTag": "twice", "Status": "accepted", "InnerReport": 1}},
		}},
		{Path: reportsPath, Keys: []string{"twice"}, Items: []externaldata.Item{{Key: "twice", Value: map[string]any{"ImageAndTag": "twice", "Status": "accepted"}}}},
		{Path: reportsPath, Keys: []string{"down"}, SystemError: "no answer"},
		{Path: digestsPath, Keys: []string{"digest"}},
	})
	byImage := map[string]any{}
	for q, seen := range reports {
		byImage[q.image] = seen
	}
	got, err := json.Marshal(byImage)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"down":{"ImageAndTag":"down","Status":"scan_failed","Message":"no answer"},` +
		`"error":{"ImageAndTag":"error","Status":"scan_failed","Message":"bad key"},` +
		`"silence":{"ImageAndTag":"silence","Status":"report_not_available"},` +
		`"twice":{"ImageAndTag":"twice","InnerReport":1,"Status":"accepted"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Two containers run one image that was written differently: each is explained
// by its own words.
func TestExplanationsNameWhatWasWritten(t *testing.T) {
	const image = "shop@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	found := answersOf([]loopback.Exchange{{
		Path: reportsPath,
		Keys: []string{image + "?original=shop%3A1", image + "?original=shop%3A2", image + "?original=shop%3Aforged"},
		Items: []externaldata.Item{
			{Key: "1", Value: map[string]any{"Image": image, "ImageAndTag": "shop:1"}},
			{Key: "2", Value: map[string]any{"Image": image, "ImageAndTag": "shop:2"}},
			{Key: "3", Value: map[string]any{"Image": image, "ImageAndTag": image}},
		},
	}})
	pod := map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{
			"original-image.imagegate.dev/a": "shop:1", "original-image.imagegate.dev/b": "shop:2", "original-image.imagegate.dev/c": "shop:forged",
		}},
		"spec": map[string]any{"containers": []any{
			map[string]any{"name": "a", "image": image}, map[string]any{"name": "b", "image": image}, map[string]any{"name": "c", "image": image},
		}},
	}
	for i, want := range []string{"shop:1", "shop:2", image} {
		seen, asked := found.of(pod, containersOf(pod)[i])
		if value, _ := seen.(map[string]any); !asked || value["ImageAndTag"] != want {
			t.Errorf("container %d: %v, want %s", i, seen, want)
		}
	}
}
