package templates_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imagegate/imagegate/templates"
)

const customPod = `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {app: a}}
spec:
  containers:
  - name: app
    image: IMAGE
    volumeMounts: [{name: host, mountPath: /var/run/docker.sock}]
`

// TestCustomRulesInTheRealEngine runs rule files, the article's among them word
// for word, through Gatekeeper's engine. The article is "Performing Image Scanning on
// Admission Controller with OPA", https://sysdig.com/blog/image-scanning-admission-controller/
func TestCustomRulesInTheRealEngine(t *testing.T) {
	inner := map[string]any{"detail": map[string]any{"result": map[string]any{"result": map[string]any{
		"c7460dfc": map[string]any{"result": map[string]any{"rows": []any{
			[]any{"c7460dfc", "docker.io/nginx:1.17.7", "41cb", "dockerfile", "instruction", "Dockerfile directive 'HEALTHCHECK' not found", "warn", false},
			[]any{"c7460dfc", "docker.io/nginx:1.17.7", "1571", "dockerfile", "instruction", "Dockerfile directive 'USER' not found", "warn", false},
		}}},
	}}}}
	reports := map[string]map[string]any{
		"good": {"ImageAndTag": "good", "Status": "accepted", "InnerReport": inner},
		"bad":  {"ImageAndTag": "bad", "Status": "rejected"},
		"fail": {"ImageAndTag": "fail", "Status": "scan_failed"},
		"part": {"ImageAndTag": "part", "Status": "accepted", "Summary": map[string]any{"Total": 0, "Coverage": map[string]any{"Distribution": "debian trixie/sid", "Packages": 412, "Unmatched": 12}}},
	}
	inDev := func(pod string) string { return strings.Replace(pod, "namespace: shop", "namespace: dev", 1) }
	unscanned := func(pod string) string { return strings.Replace(pod, "app: a", "scan: skip", 1) }
	cases := []struct {
		rules, image string
		change       func(string) string
		want         []string
	}{
		{"article-accepted", "good", nil, nil},
		{"article-accepted", "bad", nil, []string{"Denying images that are not accepted. Status: rejected"}},
		{"article-accepted", "slow", nil, []string{"Denying images that are not accepted. Status: report_not_available"}},
		{"article-accepted", "fail", nil, []string{"Denying images that are not accepted. Status: scan_failed"}},
		{"article-accepted-or-pending", "good", nil, nil},
		{"article-accepted-or-pending", "slow", nil, nil},
		{"article-accepted-or-pending", "fail", nil, []string{"Denying images that are not accepted or in progress. Status: scan_failed"}},
		{"article-dev-namespace", "good", nil, nil},
		{"article-dev-namespace", "bad", nil, []string{"Denying images otherwise"}},
		{"article-dev-namespace", "bad", inDev, nil},
		{"article-custom", "bad", nil, nil},
		{"userinfo", "good", nil, nil},
		{"userinfo", "bad", nil, []string{"alice may not run bad"}},
		{"pod-and-container", "good", nil, []string{"container app mounts the runtime's socket as root"}},
		{"inner-report", "good", nil, []string{"good: Dockerfile directive 'USER' not found"}},
		{"inner-report", "bad", nil, nil},
		{"coverage", "good", nil, nil},
		{"coverage", "part", nil, []string{"12 of 412 packages of debian trixie/sid could not be looked up"}},
		{"v1", "good", nil, nil},
		{"v1", "bad", nil, []string{"the report is not accepted"}},
		{"v1", "bad", unscanned, nil},
		{"v1", "bad-registry.com/good", nil, []string{"bad-registry.com/good comes from a registry that is not trusted"}},
		{"v0-keywords", "bad", nil, []string{"not on the host"}},
		{"v0-keywords", "good", nil, nil},
	}
	for _, c := range cases {
		t.Run(c.rules+"/"+c.image, func(t *testing.T) {
			e := newEngine(t, time.Minute)
			e.provider.reports = reports
			file := "testdata/rules/" + c.rules + ".rego"
			template, err := templates.Custom(readFile(t, file), templates.CustomOptions{Kind: "MyRules", File: file})
			if err != nil {
				t.Fatal(err)
			}
			e.addTemplate(t, template)
			e.addConstraint(t, "MyRules", "mine", "{}")
			pod := strings.ReplaceAll(customPod, "IMAGE", c.image)
			if c.change != nil {
				pod = c.change(pod)
			}
			request := creation(t, pod)
			request.UserInfo.Username = "alice"
			if diff := cmp.Diff(c.want, e.review(t, request)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestArticleRulesAreVerbatim holds the copies against the rule text in the
// template: nothing but the package is added.
func TestArticleRulesAreVerbatim(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/article-*.rego")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		rules := readFile(t, file)
		template, err := templates.Custom(rules, templates.CustomOptions{Kind: "MyRules"})
		if err != nil {
			t.Fatal(err)
		}
		libs := templateLibs(t, template)
		if got := libs[len(libs)-1]; got != "package lib.rules\n\n"+string(rules) {
			t.Errorf("%s became\n%s", file, got)
		}
	}
}

// TestArticleCustomRulesDeny sets the condition that the article leaves false.
func TestArticleCustomRulesDeny(t *testing.T) {
	rules := strings.Replace(string(readFile(t, "testdata/rules/article-custom.rego")), "false", "true", 1)
	template, err := templates.Custom([]byte(rules), templates.CustomOptions{Kind: "MyRules"})
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, time.Minute)
	e.addTemplate(t, template)
	e.addConstraint(t, "MyRules", "mine", "{}")
	if diff := cmp.Diff([]string{"This is a custom deny message"}, e.review(t, creation(t, strings.ReplaceAll(customPod, "IMAGE", "a")))); diff != "" {
		t.Error(diff)
	}
}

func TestCustomRulesWithTheGeneratedOnes(t *testing.T) {
	e := newEngine(t, time.Minute)
	e.provider.reports = map[string]map[string]any{
		"good": {"ImageAndTag": "good", "Status": "accepted"},
		"bad":  {"ImageAndTag": "bad", "Status": "rejected"},
	}
	template, err := templates.Custom(readFile(t, "testdata/rules/v1.rego"), templates.CustomOptions{Kind: "Both", ScanRules: true})
	if err != nil {
		t.Fatal(err)
	}
	e.addTemplate(t, template)
	e.addConstraint(t, "Both", "both", `{scanRules: {autoGenerate: true, alwaysReject: [evil/]}}`)
	judge := func(image string) []string {
		return e.review(t, creation(t, strings.ReplaceAll(customPod, "IMAGE", image)))
	}
	if diff := cmp.Diff([]string(nil), judge("good")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Image 'bad' REJECTED. Global default policy - scan result is 'reject'", "the report is not accepted"}, judge("bad")); diff != "" {
		t.Error(diff)
	}
	e.provider.images()
	if diff := cmp.Diff([]string{"Image 'evil/a' REJECTED. Global custom policy (prefix 'evil/') - policy action is 'reject'"}, judge("evil/a")); diff != "" {
		t.Error(diff)
	}
	if asked := e.provider.images(); asked != nil {
		t.Errorf("asked for %v", asked)
	}
}

// TestAutoGenerateFalseNeedsRulesForTheReports: a file of rules for the Pod alone
// would let every image pass.
func TestAutoGenerateFalseNeedsRulesForTheReports(t *testing.T) {
	const blind = "Configuration error: scanPolicies.autoGenerate is false, which leaves no rules for the reports: the template's own have no deny_image"
	for name, c := range map[string]struct {
		rules string
		want  []string
	}{
		"the Pod alone": {`deny_pod["on the host"] { input.PodObject.spec.hostNetwork }`, []string{blind}},
		"allowing":      {`allow_pod { input.PodObject.metadata.labels.scan == "skip" }`, []string{blind}},
		"the reports":   {`deny_image[msg] { input.ScanReport.Status == "rejected"; msg := "rejected" }`, []string{"rejected"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, time.Minute)
			e.provider.reports = map[string]map[string]any{"bad": {"ImageAndTag": "bad", "Status": "rejected"}}
			template, err := templates.Custom([]byte(c.rules), templates.CustomOptions{Kind: "Blind", ScanRules: true})
			if err != nil {
				t.Fatal(err)
			}
			e.addTemplate(t, template)
			e.addConstraint(t, "Blind", "blind", `{scanPolicies: {autoGenerate: false}}`)
			if diff := cmp.Diff(c.want, e.review(t, creation(t, strings.ReplaceAll(customPod, "IMAGE", "bad")))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRulesMayUseTheAncestorsNames in both versions, whatever else they define.
func TestRulesMayUseTheAncestorsNames(t *testing.T) {
	for name, c := range map[string]struct{ rules, want string }{
		"both":           {`deny_image[msg] { msg := sprintf("%s by %s", [namespace, policies.defaultPolicy]) }`, "shop by accept"},
		"namespace":      {`deny_image[msg] { namespace == "shop"; msg := "in shop" }`, "in shop"},
		"v1":             {`deny_image contains msg if msg := sprintf("%s by %s", [namespace, policies.defaultPolicy])`, "shop by accept"},
		"with a package": {"package mine\ndeny_image[namespace] { true }", "shop"},
		"before":         {`deny_pod[msg] { msg := sprintf("%s by %s", [namespace, policies.defaultPolicy]) }`, "shop by scan"},
		"one's own":      {"namespace = \"mine\" { true }\npolicies = {\"a\": 1}\ndeny_image[msg] { msg := sprintf(\"%s %v\", [namespace, policies]) }", `mine {"a": 1}`},
		"a variable":     {`deny_image[msg] { namespace = input.ContainerObject.name; msg := namespace }`, "app"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, time.Minute)
			e.provider.reports = map[string]map[string]any{"good": {"ImageAndTag": "good", "Status": "accepted"}}
			template, err := templates.Custom([]byte(c.rules), templates.CustomOptions{Kind: "Names", ScanRules: true})
			if err != nil {
				t.Fatal(err)
			}
			e.addTemplate(t, template)
			e.addConstraint(t, "Names", "names", `{preScanPolicies: {defaultPolicy: scan}, scanPolicies: {defaultPolicy: accept}}`)
			if diff := cmp.Diff([]string{c.want}, e.review(t, creation(t, strings.ReplaceAll(customPod, "IMAGE", "good")))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLatestIsNotAllowedAfterPinning is the ancestor's example of a rule by tag.
func TestLatestIsNotAllowedAfterPinning(t *testing.T) {
	const image = "shop@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	pod := strings.Replace(strings.ReplaceAll(customPod, "IMAGE", image), "labels:",
		"annotations: {original-image.imagegate.dev/app: 'shop:latest'}, labels:", 1)
	template, err := templates.Custom([]byte(`deny_image["latest is not allowed"] { endswith(input.ScanReport.ImageAndTag, ":latest") }`),
		templates.CustomOptions{Kind: "MyRules"})
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, time.Minute)
	e.provider.reports = map[string]map[string]any{image: {"ImageAndTag": "shop:latest", "Image": image, "Status": "accepted"}}
	e.addTemplate(t, template)
	e.addConstraint(t, "MyRules", "mine", "{}")
	if diff := cmp.Diff([]string{"latest is not allowed"}, e.review(t, creation(t, pod))); diff != "" {
		t.Error(diff)
	}
}

func TestCustomRefusals(t *testing.T) {
	cases := map[string]struct {
		rules   string
		options templates.CustomOptions
		want    []string
	}{
		"kind":            {"deny_image[msg] { msg := 1 }", templates.CustomOptions{Kind: "my rules"}, []string{`kind "my rules"`}},
		"library's kind":  {"deny_image[msg] { msg := 1 }", templates.CustomOptions{Kind: "ImageScanPolicy"}, []string{"kind ImageScanPolicy is a policy of the library"}},
		"version":         {"deny_image[msg] { msg := 1 }", templates.CustomOptions{RegoVersion: "v2"}, []string{`"v2" is not auto, v0 or v1`}},
		"empty":           {"", templates.CustomOptions{}, []string{"rules.rego"}},
		"only comments":   {"# nothing\n", templates.CustomOptions{}, []string{"rules.rego"}},
		"v0 syntax":       {"a {\n  true\n}\n\ndeny_image[msg] {\n  msg := \n}\n", templates.CustomOptions{}, []string{"rules.rego:7", "Rego v0"}},
		"v1 syntax":       {"import rego.v1\n\ndeny_image contains msg if {\n  msg := \n}\n", templates.CustomOptions{}, []string{"rules.rego:5", "Rego v1"}},
		"v1 without mark": {"deny_image contains msg if {\n  msg := \n}\n", templates.CustomOptions{}, []string{"rules.rego:3", "Rego v1"}},
		"v0 as v1":        {"deny_image[msg] {\n  msg := 1\n}\n", templates.CustomOptions{RegoVersion: "v1"}, []string{"rules.rego:1"}},
		"unsafe":          {"\n\ndeny_image[msg] {\n  not other\n}\n", templates.CustomOptions{}, []string{"rules.rego:3", "msg is unsafe"}},
		"unknown builtin": {"deny_image[msg] {\n  msg := nonsense(1)\n}\n", templates.CustomOptions{File: "mine.rego"}, []string{"mine.rego:2", "nonsense"}},
		"with package":    {"package x\n\ndeny_image[msg] {\n  msg := nonsense(1)\n}\n", templates.CustomOptions{}, []string{"rules.rego:4"}},
		"no hook":         {"violation[msg] { msg := 1 }", templates.CustomOptions{}, []string{"defines none of deny_image, deny_pod"}},
		"allowing only":   {"allow_pod { input.PodObject.metadata.labels.a }", templates.CustomOptions{}, []string{"defines none of deny_image, deny_pod: it would never deny"}},
		"no hook beside":  {"violation[msg] { msg := 1 }", templates.CustomOptions{ScanRules: true}, []string{"defines none of allow_pod, deny_image, deny_pod"}},
		"no set":          {"deny_image { true }", templates.CustomOptions{}, []string{"rules.rego:1", "deny_image must be a set of messages"}},
		"no boolean":      {"allow_pod[msg] { msg := 1 }", templates.CustomOptions{}, []string{"rules.rego:1", "allow_pod must be true or undefined"}},
		"own package":     {"package x\n\nok { true }\n\ndeny_image[msg] { not data.x.ok\n msg := 1 }", templates.CustomOptions{}, []string{"rules.rego:5", "data.x.ok"}},
		"other data":      {"deny_image[msg] { msg := data.kubernetes.pods[_] }", templates.CustomOptions{}, []string{"rules.rego:1", "data.kubernetes.pods"}},
		"import":          {"import input.ScanReport\n\ndeny_image[msg] { msg := ScanReport }", templates.CustomOptions{}, []string{"rules.rego:1", "import input.ScanReport"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.options.Kind == "" {
				c.options.Kind = "MyRules"
			}
			_, err := templates.Custom([]byte(c.rules), c.options)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %q", part, err)
				}
			}
		})
	}
}

func TestCustomRulesMayReadTheInventory(t *testing.T) {
	rules := `deny_image[msg] { data.inventory.cluster["v1"].Namespace[_].metadata.name == "x"; msg := "x" }`
	if _, err := templates.Custom([]byte(rules), templates.CustomOptions{Kind: "MyRules"}); err != nil {
		t.Error(err)
	}
}
