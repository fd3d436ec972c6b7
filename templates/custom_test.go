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
		{"not-text", "good", nil, nil},
		{"not-text", "good", unscanned, []string{"42"}},
		{"not-text", "bad", nil, []string{`{"code":3,"status":"rejected"}`}},
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

// TestRulesMayUseTheGivenNames, those of Sysdig's admission controller, in both
// versions, whatever else they define.
func TestRulesMayUseTheGivenNames(t *testing.T) {
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

// TestLatestIsNotAllowedAfterPinning is a rule by tag, as those of Sysdig's admission
// controller may be.
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

		// What compiles and can never do what it is written for.
		"part of input":        {"allow_image {\n  input.ScanReports.Status == \"accepted\"\n}\n\ndeny_image[\"no\"] {\n  not allow_image\n}\n", templates.CustomOptions{}, []string{"rules.rego:2: input has no ScanReports, only AdmissionRequest, ContainerObject, PodObject, Policies, ScanReport: did you mean ScanReport?"}},
		"field":                {"deny_image[msg] {\n  msg := input.ScanReport.Mesage\n}", templates.CustomOptions{}, []string{"rules.rego:2: input.ScanReport has no Mesage, only", ": did you mean Message?"}},
		"negated field":        {"deny_image[\"no\"] { not input.ScanReport.Accepted }", templates.CustomOptions{}, []string{"rules.rego:1: input.ScanReport has no Accepted, only DatabaseBuiltAt, Digest,"}},
		"field of a list":      {"deny_image[\"no\"] { input.ScanReport.Vulnerabilities[_].Severty == \"High\" }", templates.CustomOptions{}, []string{"input.ScanReport.Vulnerabilities[_] has no Severty, only", ": did you mean Severity?"}},
		"list":                 {"deny_image[\"no\"] { input.ScanReport.Vulnerabilities.Severity == \"High\" }", templates.CustomOptions{}, []string{"input.ScanReport.Vulnerabilities is a list: look at each of its elements, input.ScanReport.Vulnerabilities[_]"}},
		"variable":             {"import rego.v1\n\ndeny_image contains v.ID if {\n  some v in input.ScanReport.Vulnerabilities\n  v.fixed\n}", templates.CustomOptions{}, []string{"rules.rego:5: v has no fixed, only", ": did you mean Fixed?"}},
		"comprehension":        {"deny_image[\"no\"] { count([v | v := input.ScanReport.Vulnerabilities[_]; v.Sevrity == \"High\"]) > 3 }", templates.CustomOptions{}, []string{"v has no Sevrity, only", ": did you mean Severity?"}},
		"rule's value":         {"summary = input.ScanReport.Summary { true }\n\ndeny_image[\"no\"] { summary.Counts.critical > 0 }", templates.CustomOptions{}, []string{"rules.rego:3: summary.Counts has no critical, only", ": did you mean Critical?"}},
		"no parts":             {"deny_image[\"no\"] { input.ScanReport.Status.reason == \"x\" }", templates.CustomOptions{}, []string{"input.ScanReport.Status has no parts, and input.ScanReport.Status.reason can never be there"}},
		"of another kind":      {"deny_image[\"no\"] { input.ScanReport.Summary.Total == \"0\" }", templates.CustomOptions{}, []string{"rules.rego:1: what input has can never fit"}},
		"request":              {"deny_pod[\"no\"] { input.AdmissionRequest.userinfo.username == \"x\" }", templates.CustomOptions{}, []string{"input.AdmissionRequest has no userinfo, only", ": did you mean userInfo?"}},
		"Pod":                  {"deny_pod[\"no\"] { input.PodObject.Spec.hostNetwork }", templates.CustomOptions{}, []string{"input.PodObject has no Spec, only", ": did you mean spec?"}},
		"Gatekeeper's":         {"deny_pod[\"no\"] { input.review.object.spec.hostNetwork }", templates.CustomOptions{}, []string{"input has no review, only AdmissionRequest"}},
		"list in the Pod":      {"deny_pod[\"no\"] { input.PodObject.spec.containers.image == \"x\" }", templates.CustomOptions{}, []string{"rules.rego:1: input.PodObject.spec.containers is a list: look at each of its elements, input.PodObject.spec.containers[_]"}},
		"list of volumes":      {"deny_pod[\"no\"] { input.PodObject.spec.volumes.hostPath }", templates.CustomOptions{}, []string{"input.PodObject.spec.volumes is a list: look at each of its elements"}},
		"list of owners":       {"deny_pod[\"no\"] { not input.PodObject.metadata.ownerReferences.kind }", templates.CustomOptions{}, []string{"input.PodObject.metadata.ownerReferences is a list: look at each of its elements"}},
		"list in a container":  {"deny_image[\"no\"] { input.ContainerObject.env.name == \"x\" }", templates.CustomOptions{}, []string{"input.ContainerObject.env is a list: look at each of its elements, input.ContainerObject.env[_]"}},
		"list in each":         {"deny_pod[\"no\"] { input.PodObject.spec.containers[_].ports.hostPort > 0 }", templates.CustomOptions{}, []string{"input.PodObject.spec.containers[_].ports is a list"}},
		"list by name":         {"deny_pod[\"no\"] { all := input.PodObject.spec.containers; all.image == \"x\" }", templates.CustomOptions{}, []string{"rules.rego:1: all is a list: look at each of its elements, all[_]"}},
		"policies":             {"deny_image[\"no\"] { policies.defaultPolcy == \"accept\" }", templates.CustomOptions{ScanRules: true}, []string{"rules.rego:1: policies has no defaultPolcy, only", ": did you mean defaultPolicy?"}},
		"two":                  {"deny_image[\"no\"] {\n  input.A\n}\n\ndeny_pod[\"no\"] {\n  input.B\n}", templates.CustomOptions{}, []string{"rules.rego:2: input has no A", "rules.rego:6: input has no B"}},
		"status":               {"deny_image[\"no\"] { input.ScanReport.Status == \"acepted\" }", templates.CustomOptions{}, []string{`rules.rego:1: input.ScanReport.Status is never "acepted", only accepted, rejected, scan_failed, report_not_available: did you mean accepted?`}},
		"not a status":         {"deny_image[\"no\"] { \"failed\" != input.ScanReport.Status }", templates.CustomOptions{}, []string{`input.ScanReport.Status is never "failed"`}},
		"status in":            {"import future.keywords.in\ndeny_image[\"no\"] { input.ScanReport.Status in [\"rejected\", \"scan-failed\"] }", templates.CustomOptions{}, []string{`input.ScanReport.Status is never "scan-failed", only`, `: did you mean scan_failed?`}},
		"severity":             {"deny_image[\"no\"] { input.ScanReport.Vulnerabilities[i].Severity == \"CRITICAL\" }", templates.CustomOptions{}, []string{`is never "CRITICAL", only`, `: did you mean Critical?`}},
		"severity by name":     {"deny_image[\"no\"] { v := input.ScanReport.Vulnerabilities[_]\n v.Severity == \"high\" }", templates.CustomOptions{}, []string{`rules.rego:2: v.Severity is never "high", only`, `: did you mean High?`}},
		"severity of some":     {"import rego.v1\ndeny_image contains \"no\" if {\n some v in input.ScanReport.Vulnerabilities\n v.Severity in {\"Critical\", \"HIGH\"}\n}", templates.CustomOptions{}, []string{`rules.rego:4: v.Severity is never "HIGH", only`}},
		"severity of all":      {"import rego.v1\ndeny_image contains \"no\" if {\n every v in input.ScanReport.Summary.Worst { v.Severity != \"low\" }\n}", templates.CustomOptions{}, []string{`rules.rego:3: v.Severity is never "low", only`}},
		"field of all":         {"import rego.v1\ndeny_image contains \"no\" if {\n report := input.ScanReport\n every v in report.Vulnerabilities { v.Severty == \"High\" }\n}", templates.CustomOptions{}, []string{"rules.rego:4: v has no Severty, only", ": did you mean Severity?"}},
		"status by name":       {"deny_image[\"no\"] { s := input.ScanReport.Status\n s == \"failed\" }", templates.CustomOptions{}, []string{`rules.rego:2: s is never "failed", only accepted`}},
		"operation":            {"deny_pod[\"no\"] { input.AdmissionRequest.operation == \"create\" }", templates.CustomOptions{}, []string{`is never "create", only CREATE, UPDATE, DELETE, CONNECT: did you mean CREATE?`}},
		"status by constant":   {"bad := \"Rejected\"\n\ndeny_image[\"no\"] { input.ScanReport.Status == bad }", templates.CustomOptions{}, []string{`rules.rego:3: input.ScanReport.Status is never "Rejected", only`, `: did you mean rejected?`}},
		"status by assignment": {"deny_image[\"no\"] { bad := \"Rejected\"\n input.ScanReport.Status == bad }", templates.CustomOptions{}, []string{`rules.rego:2: input.ScanReport.Status is never "Rejected", only`}},
		"severity in a set":    {"bad := {\"CRITICAL\", \"High\"}\n\ndeny_image[\"no\"] { bad[input.ScanReport.Vulnerabilities[_].Severity] }", templates.CustomOptions{}, []string{`rules.rego:3: input.ScanReport.Vulnerabilities[_].Severity is never "CRITICAL", only`}},
		"severity in a list":   {"import future.keywords.in\ndeny_image[\"no\"] { bad := [\"HIGH\"]; input.ScanReport.Vulnerabilities[_].Severity in bad }", templates.CustomOptions{}, []string{`is never "HIGH", only`}},
		"argument":             {"bad(s) { s == \"Rejected\" }\n\ndeny_image[\"no\"] { bad(input.ScanReport.Status) }", templates.CustomOptions{}, []string{`rules.rego:1: s is never "Rejected", only`}},
		"field of an argument": {"critical(v) { v.severity == \"Critical\" }\n\ndeny_image[\"no\"] { critical(input.ScanReport.Vulnerabilities[_]) }\n\ndeny_image[\"two\"] { v := input.ScanReport.Vulnerabilities[_]; critical(v) }", templates.CustomOptions{}, []string{"rules.rego:1: v has no severity, only", ": did you mean Severity?"}},
		"argument's argument":  {"bad(s) { s == \"Rejected\" }\n\nworse(r) { bad(r.Status) }\n\ndeny_image[\"no\"] { worse(input.ScanReport) }", templates.CustomOptions{}, []string{`rules.rego:1: s is never "Rejected", only`}},
		"lower case":           {"deny_image[\"no\"] { lower(input.ScanReport.Vulnerabilities[_].Severity) == \"Critical\" }", templates.CustomOptions{}, []string{`rules.rego:1: lower(input.ScanReport.Vulnerabilities[_].Severity) is never "Critical": write "critical"`}},
		"lower case of a word": {"deny_image[\"no\"] { lower(input.ScanReport.Status) == \"reject\" }", templates.CustomOptions{}, []string{`lower(input.ScanReport.Status) is never "reject", only accepted`, `: did you mean rejected?`}},
		"upper case":           {"deny_image[\"no\"] { upper(input.ScanReport.Scanner) == \"Grype\" }", templates.CustomOptions{}, []string{`upper(input.ScanReport.Scanner) is never "Grype": write "GRYPE"`}},
		"number and text":      {"deny_image[\"no\"] { input.ScanReport.Summary.Counts.Critical > \"0\" }", templates.CustomOptions{}, []string{`rules.rego:1: input.ScanReport.Summary.Counts.Critical is a number and "0" is a text, which is above every number: write it without quotes`}},
		"count and text":       {"deny_image[\"no\"] { \"3\" < count(input.ScanReport.Vulnerabilities) }", templates.CustomOptions{}, []string{`count(input.ScanReport.Vulnerabilities) is a number and "3" is a text`}},
		"order of severities":  {"deny_image[\"no\"] { input.ScanReport.Vulnerabilities[_].Severity >= \"High\" }", templates.CustomOptions{}, []string{`is a word, and words are in the order of their letters: name those that you mean, of Critical, High,`}},
		"part of a status":     {"deny_image[\"no\"] { startswith(input.ScanReport.Status, \"fail\") }", templates.CustomOptions{}, []string{`startswith(input.ScanReport.Status, "fail") never holds: it is only accepted, rejected,`}},
		"Deployment":           {"deny_pod[\"no\"] { input.PodObject.kind == \"Deployment\" }", templates.CustomOptions{}, []string{`input.PodObject.kind is never "Deployment", only Pod`}},
		"too few values":       {"deny_image[msg] { msg := sprintf(\"%s is %s\", [input.ScanReport.Status]) }", templates.CustomOptions{}, []string{`rules.rego:1: sprintf has places for 2 values in "%s is %s", and gets 1`}},
		"too many values":      {"say(s) = msg { msg = sprintf(\"100%% %s\", [s, s]) }\n\ndeny_image[msg] { msg := say(input.ScanReport.Status) }", templates.CustomOptions{}, []string{`rules.rego:1: sprintf has places for 1 values in "100%% %s", and gets 2`}},
		"too early by another": {"latest {\n endswith(input.ScanReport.ImageAndTag, \":latest\") }\n\ndeny_pod[\"no\"] { latest }", templates.CustomOptions{}, []string{"rules.rego:2: deny_pod is asked before the scan, when input has no ScanReport: write a deny_image for it"}},

		"too early":        {"deny_pod[\"no\"] {\n  input.ScanReport.Status == \"rejected\"\n}", templates.CustomOptions{}, []string{"rules.rego:2: deny_pod is asked before the scan, when input has no ScanReport: write a deny_image for it"}},
		"plural":           {"deny_image[\"no\"] { false }\n\ndeny_images[\"no\"] { true }", templates.CustomOptions{}, []string{"rules.rego:3: nobody asks deny_images, only allow_pod, deny_image, deny_pod: did you mean deny_image?"}},
		"misspelled":       {"deny_image[\"no\"] { false }\n\ndeny_imgae[\"no\"] { true }\n\nalow_pod { true }", templates.CustomOptions{}, []string{"rules.rego:3: nobody asks deny_imgae, only allow_pod, deny_image, deny_pod: did you mean deny_image?", "rules.rego:5: nobody asks alow_pod, only allow_pod, deny_image, deny_pod: did you mean allow_pod?"}},
		"camel case":       {"deny_image[\"no\"] { false }\n\ndenyImage[\"no\"] { true }", templates.CustomOptions{}, []string{"nobody asks denyImage, only allow_pod, deny_image, deny_pod: did you mean deny_image?"}},
		"instead":          {"deny_images[\"no\"] { true }", templates.CustomOptions{}, []string{"rules.rego defines none of deny_image, deny_pod: it would never deny", "rules.rego:1: nobody asks deny_images, only allow_pod, deny_image, deny_pod: did you mean deny_image?"}},
		"Gatekeeper's own": {"deny_image[\"no\"] { false }\n\nviolation[{\"msg\": \"no\"}] { true }", templates.CustomOptions{}, []string{"nobody asks violation, only allow_pod, deny_image, deny_pod"}},
		"allow_image":      {"allow_image { input.ScanReport.Status == \"accepted\" }\n\ndeny_image[\"no\"] { false }", templates.CustomOptions{}, []string{"rules.rego:1: nobody asks allow_image, only allow_pod, deny_image, deny_pod"}},
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

// TestWhatIsNoMistakeIsLeftAlone: rules that look like those that are refused.
func TestWhatIsNoMistakeIsLeftAlone(t *testing.T) {
	for name, rules := range map[string]string{
		"a helper of a hook's name":  `deny_images[msg] { msg := "no" } deny_image[msg] { deny_images[msg] }`,
		"a helper of its own":        `latest { endswith(input.ScanReport.ImageAndTag, ":latest") } deny_image["no"] { latest }`,
		"whatever Kubernetes has":    `deny_pod["no"] { input.PodObject.spec.tomorrow[_].field; input.AdmissionRequest.object.metadata.labels.a.b }`,
		"whatever a container has":   `deny_image["no"] { input.ContainerObject.tomorrow.field; input.ContainerObject.volume.image.reference }`,
		"whatever a scanner has":     `deny_image["no"] { input.ScanReport.InnerReport.detail.result.result[_].result.rows[_][3] == "x" }`,
		"the Namespace":              `deny_pod["no"] { input.AdmissionRequest.namespaceObject.metadata.labels.team }`,
		"no older Pod":               `deny_pod["no"] { input.AdmissionRequest.oldObject == null; input.AdmissionRequest.options == null }`,
		"audit":                      `deny_pod["no"] { input.AdmissionRequest.operation == "" }`,
		"each field":                 `deny_image[msg] { some k; input.ScanReport[k] == "x"; msg := k }`,
		"a field that may be absent": `deny_image["no"] { object.get(input.ScanReport, "Scanner", "") == "" }`,
		"an input of its own":        `mine { input.Mine == 1 } deny_image["no"] { mine with input as {"Mine": 1} }`,
		"a part of its own":          `mine { input.Mine == 1 } deny_image["no"] { mine with input.Mine as 1 }`,
		"a finding":                  `deny_image[msg] { v := input.ScanReport.Vulnerabilities[_]; v.Severity == "Critical"; v.Fixed != ""; startswith(v.PURL, "pkg:"); msg := v.ID }`,
		"a shared helper":            `ours { input.PodObject.metadata.namespace == "dev" } ours { input.ScanReport.Status == "accepted" } deny_pod["no"] { not ours; false } deny_image["no"] { not ours }`,
		"whose groups":               `deny_pod["no"] { input.AdmissionRequest.userInfo.groups[_] == "dev"; input.AdmissionRequest.userInfo.extra.scopes[_] == "x" }`,
		"an else":                    `level = 1 { input.ScanReport.Status == "accepted" } else = 2 { true } deny_image["no"] { level > 1 }`,
		"test rules":                 `test_it { deny_image["no"] } deny_image["no"] { true }`,
		"a name of two meanings":     `deny_image["no"] { v := input.ScanReport.Status; count([v | v := input.ContainerObject.x]) > 0; v == "x" }`,
		"names in a circle":          `deny_image["no"] { a = b; b = a; input.ContainerObject.name = a; a == "x" }`,
		"an argument":                `f(v) { v == "x" } deny_image["no"] { v := input.ScanReport.Status; f("x"); v == "accepted" }`,
		"all of them":                "import future.keywords\ndeny_image[\"no\"] { every v in input.ScanReport.Vulnerabilities { v.Severity in {\"Critical\", \"High\"} }; every c in input.PodObject.spec.containers { c.anything } }",
		"constants":                  `bad := {"Critical", "High"} most := 3 worst := "rejected" deny_image["no"] { bad[input.ScanReport.Vulnerabilities[_].Severity]; input.ScanReport.Summary.Total > most; input.ScanReport.Status == worst }`,
		"a constant of two values":   `bad = "x" { input.PodObject.spec.x } bad = "y" { not input.PodObject.spec.x } deny_image["no"] { input.ScanReport.Status == bad }`,
		"a name over a constant":     `bad := "Rejected" deny_image["no"] { bad := input.ContainerObject.name; input.ScanReport.Status != bad }`,
		"a function of two things":   `is(x) { x == "Rejected" } deny_image["no"] { is(input.ScanReport.Status) } deny_image["two"] { is(input.ContainerObject.name) }`,
		"a function's finding":       `bad(v) { v.Severity == "High"; v.Fixed != "" } deny_image["no"] { bad(input.ScanReport.Vulnerabilities[_]) } deny_image["i"] { some i; bad(input.ScanReport.Vulnerabilities[i]) }`,
		"the case folded":            `deny_image["no"] { lower(input.ScanReport.Status) != "accepted"; upper(input.ScanReport.Vulnerabilities[_].Severity) == "HIGH"; lower(input.ContainerObject.name) == "x" }`,
		"an order":                   `deny_image["no"] { input.ScanReport.ScannedAt < "2026"; input.ScanReport.Summary.Counts.High > 3; count(input.ScanReport.Vulnerabilities) >= 2 }`,
		"parts of words":             `deny_image["no"] { startswith(input.ScanReport.Status, "scan_"); contains(input.ScanReport.Message, "x"); endswith(input.ScanReport.Status, "ed") }`,
		"a message":                  `deny_image[msg] { msg := sprintf("%s: %d%% of %v, %5.1f", [input.ScanReport.Image, 1, input.ScanReport.Summary, 2]) } deny_image[m] { a := [1]; m := sprintf("%d", a) }`,
		"read early and late":        `latest { endswith(input.ScanReport.ImageAndTag, ":latest") } deny_pod["no"] { latest } deny_image["no"] { latest }`,
		"lists of a Pod":             `deny_pod["no"] { spec := input.PodObject.spec; spec.containers[_].image == "x"; spec[kind][_].name == "y"; kind == "containers"; count(spec.volumes) > 2; spec.containers[0].env[_].valueFrom.secretKeyRef; c := spec.initContainers[_]; c.tomorrow.x; input.PodObject.metadata.ownerReferences[_].kind == "Job"; array.concat(spec.containers, object.get(spec, "initContainers", []))[_].image; spec.volumes[i].hostPath; i > 0 } deny_image["no"] { input.ContainerObject.command[0] == "sh"; input.ContainerObject.args[_] == "-c"; input.ContainerObject.securityContext.capabilities.add[_] == "ALL" }`,
		"counts":                     `deny_image["no"] { input.ScanReport.Summary.Counts.Critical + input.ScanReport.Summary.Counts["High"] > 0 }`,
	} {
		if _, err := templates.Custom([]byte(rules), templates.CustomOptions{Kind: "MyRules", ScanRules: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With a smaller view than the rules read they would deny nothing.
func TestTheViewHasWhatTheRulesRead(t *testing.T) {
	for rules, want := range map[string]string{
		`deny_image["no"] { input.ScanReport.Status != "accepted" }`:                                             "summary findings full",
		"deny_image[v.ID] { v := input.ScanReport.Vulnerabilities[_]; v.Severity == \"High\" }":                  "findings full",
		"report := input.ScanReport\n\ndeny_image[\"no\"] { report.InnerReport.status == \"fail\" }":             "full",
		"deny_image[\"no\"] { count(object.get(input.ScanReport, \"Vulnerabilities\", [])) > 9 }\n# InnerReport": "findings full",
	} {
		for _, scanRules := range []bool{false, true} {
			made, err := templates.Custom([]byte(rules), templates.CustomOptions{Kind: "MyRules", ScanRules: scanRules})
			if err != nil {
				t.Errorf("%s: %v", rules, err)
				continue
			}
			schema := schemaIn(t, made).Properties["view"]
			var found []string
			for _, value := range schema.Enum {
				found = append(found, strings.Trim(string(value.Raw), `"`))
			}
			if got := strings.Join(found, " "); got != want {
				t.Errorf("%s: %s, want %s", rules, got, want)
			}
		}
	}
}
