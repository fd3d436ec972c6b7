package review

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/review/fixture"
	"github.com/imagegate/imagegate/provider/server"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// options are those of most runs, changed by each of changes.
func options(changes ...func(*Options)) Options {
	o := Options{
		Templates:   []string{"testdata/templates"},
		Constraints: []string{"testdata/constraints"},
		Reports:     "testdata/reports/reports.yaml",
	}
	for _, change := range changes {
		change(&o)
	}
	return o
}

func files(names ...string) func(*Options) {
	return func(o *Options) {
		for _, name := range names {
			o.Files = append(o.Files, filepath.Join("testdata", "objects", name))
		}
	}
}

func run(t *testing.T, o Options) (code int, stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	code, err = Run(t.Context(), o, &out, &errOut)
	return code, out.String(), errOut.String(), err
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

func TestOutputs(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		code int
	}{
		"allowed.txt":   {options(files("pod-good.yaml")), CodeAllowed},
		"denied.txt":    {options(files("pod-bad.yaml")), CodeDenied},
		"workloads.txt": {options(files("workloads.yaml")), CodeDenied},
		"requests.txt":  {options(files("review.json", "request.yaml")), CodeDenied},
		"several.json": {options(files("pod-good.yaml", "pod-bad.yaml", "workloads.yaml"), func(o *Options) {
			o.Output = outputJSON
		}), CodeDenied},
		"explain.txt": {options(files("pod-bad.yaml"), func(o *Options) { o.Explain = true }), CodeDenied},
		"explain.json": {options(files("pod-good.yaml"), func(o *Options) {
			o.Explain, o.Output = true, outputJSON
		}), CodeAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, _, err := run(t, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			golden(t, name, stdout)
		})
	}
}

func TestRemarks(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"no Rego source": {options(files("pod-good.yaml")), "ConstraintTemplate testvap is left out with its constraints: it has no Rego source"},
		"mutators":       {options(files("pod-good.yaml")), "mutators (1) are not applied"},
		"no expansion": {options(files("workloads.yaml"), func(o *Options) {
			o.Templates = []string{"testdata/templates/teststatus.yaml", "testdata/templates/testrequest.yaml"}
		}), "Deployment default/web: no ExpansionTemplate among the files applies to it"},
		"provider failed": {options(files("pod-good.yaml"), func(o *Options) { o.Reports = "testdata/reports/down.yaml" }), "Pod default/good: the provider could not answer: the provider is down for repairs"},
		"a Provider that there is not": {options(files("pod-good.yaml"), func(o *Options) {
			o.Constraints = []string{write(t, "typo.yaml", "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: TestStatus\nmetadata: {name: typo}\nspec: {parameters: {provider: imagegat-provider}}\n")}
		}), `TestStatus typo asks the Provider "imagegat-provider", which none of the files has; known are imagegate-provider, imagegate-digests. A cluster without it denies every image`},
		"no Pods": {options(files("pod-good.yaml"), func(o *Options) {
			o.Templates = []string{"../../templates/imageregistryallowed/template.yaml"}
			o.Constraints = []string{write(t, "pods.yaml", "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: ImageRegistryAllowed\nmetadata: {name: pods}\nspec: {match: {kinds: [{apiGroups: [v1], kinds: [Pod]}, {apiGroups: [\"\"], kinds: [Pods]}]}, parameters: {registries: [docker.io]}}\n")}
		}), `ImageRegistryAllowed pods judges Pods and matches none: write spec.match.kinds as [{apiGroups: [""], kinds: [Pod]}]`},
		"a rule that can never decide": {options(files("pod-good.yaml"), func(o *Options) {
			o.Templates = []string{"../../templates/imagescanpolicy/template.yaml"}
			o.Constraints = []string{write(t, "idle.yaml", "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: ImageScanPolicy\nmetadata: {name: idle}\nspec: {parameters: {scanRules: {alwaysReject: [ghcr.io/], alwaysAccept: [ghcr.io/team/]}}}\n")}
		}), `ImageScanPolicy idle: scanRules.alwaysAccept[0] never decides: alwaysReject 'ghcr.io/' comes before it and matches all that begins with 'ghcr.io/team/'`},
		"a Provider that is there twice": {options(files("pod-good.yaml"), func(o *Options) {
			provider := "apiVersion: externaldata.gatekeeper.sh/v1beta1\nkind: Provider\nmetadata: {name: imagegate-digests}\nspec: {url: \"https://a/digests\", timeout: 1}\n---\n"
			o.Constraints = []string{write(t, "typo.yaml", provider+"apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: TestStatus\nmetadata: {name: typo}\nspec: {parameters: {provider: imagegate}}\n")}
		}), `known are imagegate-provider, imagegate-digests. A`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, stderr, err := run(t, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(stderr, tt.want) {
				t.Errorf("got %q, want %q", stderr, tt.want)
			}
		})
	}
}

// write makes a file for one test and returns its name.
func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMistakesAreErrors(t *testing.T) {
	constraint := func(content string) func(*Options) {
		return func(o *Options) {
			o.Constraints = []string{write(t, "c.yaml", "apiVersion: constraints.gatekeeper.sh/v1beta1\n"+content)}
		}
	}
	template := func(old, new string) func(*Options) {
		return func(o *Options) {
			b, err := os.ReadFile("testdata/templates/teststatus.yaml")
			if err != nil {
				t.Fatal(err)
			}
			o.Templates = append(o.Templates[:0:0], write(t, "t.yaml", strings.Replace(string(b), old, new, 1)), "testdata/templates/testrequest.yaml")
		}
	}
	object := func(content string) func(*Options) {
		return func(o *Options) { o.Files = []string{write(t, "o.yaml", content)} }
	}
	for name, tt := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"no such file":              {func(o *Options) { o.Files = []string{"nowhere.yaml"} }, []string{"nowhere.yaml"}},
		"a directory of objects":    {func(o *Options) { o.Files = []string{"testdata"} }, []string{"testdata", "is a directory"}},
		"no such templates":         {func(o *Options) { o.Templates = []string{"nowhere"} }, []string{"nowhere"}},
		"no templates there":        {func(o *Options) { o.Templates = []string{"testdata/objects"} }, []string{"no ConstraintTemplate among the files"}},
		"only other engines":        {func(o *Options) { o.Templates = []string{"testdata/templates/vap.yaml"} }, []string{"no ConstraintTemplate with Rego source"}},
		"no constraints there":      {func(o *Options) { o.Constraints = []string{"testdata/objects"} }, []string{"no Constraint among the files given as constraints"}},
		"no such reports":           {func(o *Options) { o.Reports = "nowhere.yaml" }, []string{"nowhere.yaml"}},
		"nobody to ask":             {func(o *Options) { o.Reports = "" }, []string{"give --reports or --provider-url"}},
		"template does not compile": {template("trusted(image) if {", "trusted(image) if {\n                nonsense("), []string{"t.yaml", "ConstraintTemplate teststatus", "rego_parse_error"}},
		"template uses undefined":   {template("startswith(image, prefix)", "begins_with(image, prefix)"), []string{"t.yaml", "ConstraintTemplate teststatus", "template:", "undefined function", "begins_with"}},
		"template has no rules":     {template("violation contains", "violations contains"), []string{"ConstraintTemplate teststatus", "missing required rules: [violation]"}},
		"template of a bad name":    {template("name: teststatus", "name: other"), []string{"ConstraintTemplate other", `"teststatus"`}},
		"two templates of one name": {func(o *Options) {
			template("type: array", "type: array\n              maxItems: 3")(o)
			o.Templates = append(o.Templates, "testdata/templates")
		}, []string{"ConstraintTemplate teststatus", "already has another object of that name"}},
		"unknown kind":          {constraint("kind: Nonsense\nmetadata: {name: a}"), []string{"c.yaml: Nonsense a", "no ConstraintTemplate makes constraints of kind Nonsense", "TestRequest, TestStatus"}},
		"unknown parameter":     {constraint("kind: TestStatus\nmetadata: {name: a}\nspec: {parameters: {trust: []}}"), []string{"c.yaml: TestStatus a", `unknown field "spec.parameters.trust"`}},
		"unknown match field":   {constraint("kind: TestStatus\nmetadata: {name: a}\nspec: {match: {kind: []}}"), []string{`unknown field "spec.match.kind"`}},
		"value of a wrong type": {constraint("kind: TestStatus\nmetadata: {name: a}\nspec: {parameters: {trusted: yes}}"), []string{"TestStatus a", "spec.parameters.trusted"}},
		"value not in the enum": {constraint("kind: TestStatus\nmetadata: {name: a}\nspec: {parameters: {view: everything}}"), []string{"spec.parameters.view", "full"}},
		"unknown action":        {constraint("kind: TestStatus\nmetadata: {name: a}\nspec: {enforcementAction: block}"), []string{"spec.enforcementAction", `"block"`}},
		"constraint, no name":   {constraint("kind: TestStatus\nspec: {}"), []string{"c.yaml", "missing metadata.name"}},
		"two constraints of one name": {func(o *Options) {
			o.Constraints = append(o.Constraints, write(t, "c.yaml", "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: TestStatus\nmetadata: {name: accepted-only}"))
		}, []string{"TestStatus accepted-only", "status.yaml already has another object of that name"}},
		"bad expansion": {func(o *Options) {
			o.Templates = append(o.Templates, write(t, "e.yaml", "apiVersion: expansion.gatekeeper.sh/v1beta1\nkind: ExpansionTemplate\nmetadata: {name: e}\nspec: {source: spec.template}"))
		}, []string{"e.yaml: ExpansionTemplate e", `unknown field "spec.source"`}},
		"expansions in a circle": {func(o *Options) {
			o.Templates = append(o.Templates, write(t, "e.yaml", "apiVersion: expansion.gatekeeper.sh/v1beta1\nkind: ExpansionTemplate\nmetadata: {name: e}\nspec: {applyTo: [{groups: [''], kinds: [Pod], versions: [v1]}], templateSource: spec, generatedGVK: {group: batch, version: v1, kind: Job}}"))
		}, []string{"ExpansionTemplate", "cycle"}},
		"not YAML":                {object("a: [b"), []string{"o.yaml: document 1"}},
		"a list":                  {object("- a"), []string{"o.yaml: document 1: not an object"}},
		"nothing":                 {object("# nothing\n"), []string{"o.yaml: no object to judge"}},
		"no kind":                 {object("apiVersion: v1"), []string{"field kind is missing"}},
		"no apiVersion":           {object("kind: Pod"), []string{"field apiVersion is missing"}},
		"no name":                 {object("apiVersion: v1\nkind: Pod"), []string{"Pod: field metadata.name is missing"}},
		"name no string":          {object("apiVersion: v1\nkind: Pod\nmetadata: {name: n}"), []string{"Pod: field metadata.name is not a string"}},
		"duplicate keys":          {object("apiVersion: v1\nkind: Pod\nkind: Node"), []string{"o.yaml: document 1", "already set"}},
		"review, no request":      {object("apiVersion: admission.k8s.io/v1\nkind: AdmissionReview"), []string{"AdmissionReview: field request is missing"}},
		"review, unknown":         {object("apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {operations: CREATE}"), []string{`unknown field "request.operations"`}},
		"review, other kind":      {object("apiVersion: admission.k8s.io/v1\nkind: AdmissionRevue"), []string{`"AdmissionRevue"`}},
		"review, no operation":    {object("apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {uid: a}"), []string{"field operation is missing"}},
		"review, bad operation":   {object("apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {operation: MAKE}"), []string{`"MAKE" must be one of CREATE`}},
		"review, no object":       {object("apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {operation: CREATE}"), []string{"field object is missing, which a CREATE request has"}},
		"delete, no old object":   {object("operation: DELETE\nkind: {version: v1, kind: Pod}\nobject: {apiVersion: v1, kind: Pod}"), []string{"field oldObject is missing"}},
		"object of no kind":       {object("operation: CREATE\nkind: {version: v1, kind: Pod}\nobject: {metadata: {name: a}}"), []string{"field object", "Kind"}},
		"workload of no template": {object("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}"), []string{"o.yaml", "Deployment default/a", "spec.template"}},
		"namespace of no kind":    {func(o *Options) { o.NamespaceObjects = []string{"testdata/objects/pod-good.yaml"} }, []string{"Pod good is not a Namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(files("pod-good.yaml"))
			tt.change(&o)
			code, stdout, _, err := run(t, o)
			if err == nil || code != CodeError {
				t.Fatalf("exit code %d, error %v, output:\n%s", code, err, stdout)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not have %q", err, want)
				}
			}
			if stdout != "" {
				t.Errorf("output beside an error: %s", stdout)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"nothing":          {Options{}, "--file is missing"},
		"no templates":     {Options{Files: []string{"a"}}, "--templates is missing"},
		"no constraints":   {Options{Files: []string{"a"}, Templates: []string{"a"}}, "--constraints is missing"},
		"output":           {options(files("a"), func(o *Options) { o.Output = "xml" }), `--output: "xml"`},
		"wait":             {options(files("a"), func(o *Options) { o.Wait = -1 }), "--wait"},
		"point":            {options(files("a"), func(o *Options) { o.EnforcementPoint = "x" }), `--enforcement-point: "x"`},
		"two sources":      {options(files("a"), func(o *Options) { o.Remote.URL = "https://a" }), "exclude each other"},
		"stray flags":      {options(files("a"), func(o *Options) { o.Remote.CAFile = "a" }), "go with --provider-url only"},
		"run, no suite":    {options(files("a"), func(o *Options) { o.Filter = "a" }), "go with --suite only"},
		"suite and others": {options(func(o *Options) { o.Suite = "a" }), "--suite names its own"},
		"suite, filter":    {Options{Suite: "testdata/suites", Filter: "a//b//c"}, "--run"},
		"suite, pattern":   {Options{Suite: "testdata/suites", Filter: "("}, "--run"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, _, err := run(t, tt.o)
			if code != CodeError || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("exit code %d, error %v, want %q", code, err, tt.want)
			}
		})
	}
}

func TestStandardInput(t *testing.T) {
	pod, err := os.ReadFile("testdata/objects/pod-bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := options(func(o *Options) { o.Files, o.Stdin = []string{"-"}, bytes.NewReader(pod) })
	if code, stdout, _, err := run(t, o); code != CodeDenied || err != nil || !strings.Contains(stdout, "Pod shop/bad") {
		t.Errorf("exit code %d, error %v, output %s", code, err, stdout)
	}
}

func TestLiveScanning(t *testing.T) {
	reports, err := fixture.Load("testdata/reports/reports.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	o := options(files("pod-bad.yaml"), func(o *Options) {
		o.Reports = ""
		o.Live = func(context.Context) (http.Handler, func(), error) {
			h, err := reports.Handler()
			return h, func() { ended = true }, err
		}
	})
	code, stdout, _, err := run(t, o)
	if code != CodeDenied || err != nil || !strings.Contains(stdout, "registry.example/bad:1 is rejected") {
		t.Errorf("exit code %d, error %v, output %s", code, err, stdout)
	}
	if !ended {
		t.Error("the live handler is not ended")
	}
	o.Live = func(context.Context) (http.Handler, func(), error) { return nil, nil, errors.New("no scanner") }
	if code, _, _, err := run(t, o); code != CodeError || err == nil || !strings.Contains(err.Error(), "no scanner") {
		t.Errorf("exit code %d, error %v", code, err)
	}
}

// A policy that asks no provider starts none: the bundled worker would need a
// database for nothing.
func TestLiveScanningStartsWithTheFirstQuestion(t *testing.T) {
	started := false
	o := options(files("pod-good.yaml"), func(o *Options) {
		o.Reports = ""
		o.Templates, o.Constraints = []string{"testdata/unasked/template.yaml"}, []string{"testdata/unasked/constraint.yaml"}
		o.Live = func(context.Context) (http.Handler, func(), error) {
			started = true
			return nil, nil, errors.New("no scanner")
		}
	})
	code, stdout, _, err := run(t, o)
	if code != CodeDenied || err != nil || !strings.Contains(stdout, "has no owner") {
		t.Errorf("exit code %d, error %v, output %s", code, err, stdout)
	}
	if started {
		t.Error("the provider was started for a policy that asks nothing")
	}
}

// slowService has no report at first.
type slowService struct{ asked atomic.Int32 }

func (s *slowService) Reports(_ context.Context, queries []service.Query) []report.ScanReport {
	status := report.NotAvailable
	if s.asked.Add(1) > 1 {
		status = report.Accepted
	}
	out := make([]report.ScanReport, len(queries))
	for i, q := range queries {
		out[i] = report.ScanReport{ImageAndTag: q.Reference, Status: status}
	}
	return out
}

func (s *slowService) Digest(context.Context, service.Query) (string, error) {
	return "", errors.New("no digest")
}

func TestLiveScanningWaitsForTheScan(t *testing.T) {
	for wait, want := range map[time.Duration]int{time.Minute: CodeAllowed, 0: CodeDenied} {
		service := &slowService{}
		o := options(files("pod-good.yaml"), func(o *Options) {
			o.Reports, o.Wait = "", wait
			o.Live = func(context.Context) (http.Handler, func(), error) {
				h, err := server.NewHandler(server.Options{
					Service: service, Budget: time.Second, MaxWait: time.Second, Concurrency: 1,
					Limits:            wire.Limits{BodyBytes: 1 << 20, Keys: 10, KeyBytes: 1000},
					RequireClientCert: true,
					Logger:            slog.New(slog.DiscardHandler),
					Metrics:           prometheus.NewRegistry(),
				})
				return h, func() {}, err
			}
		})
		if code, stdout, _, err := run(t, o); code != want || err != nil {
			t.Errorf("wait %v: exit code %d, error %v, output %s", wait, code, err, stdout)
		}
	}
}

func TestUserOfManifests(t *testing.T) {
	o := options(files("pod-bad.yaml"), func(o *Options) { o.User = "ann" })
	if _, stdout, _, err := run(t, o); err != nil || !strings.Contains(stdout, "is rejected by ann") {
		t.Errorf("error %v, output %s", err, stdout)
	}
}

// Of a value that does not fit a pattern the schema shows the pattern alone.
func TestASchemasRefusalSaysWhatTheFieldIsFor(t *testing.T) {
	_, _, _, err := run(t, options(files("pod-good.yaml"), func(o *Options) {
		o.Templates = []string{"../../templates/imagescanpolicy/template.yaml"}
		o.Constraints = []string{write(t, "star.yaml", "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: ImageScanPolicy\nmetadata: {name: star}\nspec: {parameters: {scanRules: {byNamespace: {dev: {alwaysReject: [\"evil.example.com/*\"]}}}}}\n")}
	}))
	if err == nil || !strings.Contains(err.Error(), "all that begins so. A * or a scheme is in no image and is refused") {
		t.Error(err)
	}
}
