package review

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/imagegate/imagegate/provider/review/fixture"
)

// policies reads all test templates and these constraints, each the YAML that
// follows its apiVersion.
func policies(t *testing.T, constraints ...string) Policies {
	t.Helper()
	var p Policies
	for _, name := range []string{"teststatus", "testrequest", "testunique", "expansion"} {
		b, err := os.ReadFile(filepath.Join("testdata", "templates", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Add(name, b); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range constraints {
		if err := p.Add(fmt.Sprint("constraint ", i), []byte("apiVersion: constraints.gatekeeper.sh/v1beta1\n"+c)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// data answers by a reports file.
func data(t *testing.T, reports string) http.Handler {
	t.Helper()
	r, err := fixture.Parse([]byte(reports))
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newEngine(t *testing.T, c Config) *Engine {
	t.Helper()
	e, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func object(t *testing.T, manifest string, d Defaults) Object {
	t.Helper()
	objects, err := ParseObjects("test", []byte(manifest), d)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 {
		t.Fatalf("%d objects", len(objects))
	}
	return objects[0]
}

func pod(t *testing.T, namespace, image string) Object {
	t.Helper()
	return object(t, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: %s, labels: {app: a}}, spec: {containers: [{name: c, image: "%s"}]}}`, namespace, image), Defaults{})
}

func cluster(t *testing.T, namespaces ...string) Cluster {
	t.Helper()
	c, err := LoadCluster([]string{write(t, "ns.yaml", strings.Join(namespaces, "\n---\n"))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// violationsOf is what the engine says, one line each: action, constraint, message.
func violationsOf(t *testing.T, e *Engine, o Object) string {
	t.Helper()
	r, err := e.Review(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, v := range r.Violations {
		lines = append(lines, v.EnforcementAction+" "+v.Constraint+" "+v.Message)
	}
	return strings.Join(lines, "\n")
}

func TestMatchingIsGatekeepers(t *testing.T) {
	const spec = "kind: TestRequest\nmetadata: {name: c}\nspec: {match: %s}"
	namespaces := cluster(t,
		"{apiVersion: v1, kind: Namespace, metadata: {name: prod, labels: {tier: gold}}}",
		"{apiVersion: v1, kind: Namespace, metadata: {name: dev}}")
	for match, want := range map[string][2]bool{ // in prod, in dev
		"{}": {true, true},
		"{namespaceSelector: {matchLabels: {tier: gold}}}":                               {true, false},
		"{namespaceSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}": {false, true},
		"{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: dev}}}":         {false, true},
		"{namespaces: [prod]}":                                {true, false},
		"{excludedNamespaces: ['pr*']}":                       {false, true},
		"{kinds: [{apiGroups: [''], kinds: [Pod]}]}":          {true, true},
		"{kinds: [{apiGroups: [apps], kinds: [Deployment]}]}": {false, false},
		"{labelSelector: {matchLabels: {app: a}}}":            {true, true},
		"{labelSelector: {matchLabels: {app: b}}}":            {false, false},
		"{scope: Cluster}":                                    {false, false},
		"{source: Generated}":                                 {false, false},
		"{name: 'p*'}":                                        {true, true},
	} {
		t.Run(match, func(t *testing.T) {
			e := newEngine(t, Config{Policies: policies(t, fmt.Sprintf(spec, match)), Cluster: namespaces})
			for i, ns := range []string{"prod", "dev"} {
				if got := violationsOf(t, e, pod(t, ns, "a")) != ""; got != want[i] {
					t.Errorf("in %s: matched %v, want %v", ns, got, want[i])
				}
			}
		})
	}
}

func TestNamespaceLabelsMustBeGivenWhereTheyDecide(t *testing.T) {
	e := newEngine(t, Config{Policies: policies(t, "kind: TestRequest\nmetadata: {name: c}\nspec: {match: {namespaceSelector: {matchLabels: {tier: gold}}}}")})
	_, err := e.Review(t.Context(), pod(t, "prod", "a"))
	if err == nil || !strings.Contains(err.Error(), `TestRequest c selects namespaces by their labels: give Namespace "prod"`) {
		t.Errorf("got error %v", err)
	}
	byName := newEngine(t, Config{Policies: policies(t, "kind: TestRequest\nmetadata: {name: c}\nspec: {match: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: prod}}}}")})
	if got := violationsOf(t, byName, pod(t, "prod", "a")); got == "" {
		t.Error("the name label of a Namespace that is not given does not match")
	}
	clusterScoped := object(t, "{apiVersion: v1, kind: Node, metadata: {name: worker}}", Defaults{})
	if _, err := e.Review(t.Context(), clusterScoped); err != nil {
		t.Errorf("an object without a namespace: %v", err)
	}
}

func TestEnforcementActions(t *testing.T) {
	scoped := func(action, point string) string {
		return fmt.Sprintf("{action: %s, enforcementPoints: [{name: %s}]}", action, point)
	}
	for name, tt := range map[string]struct {
		spec, point string
		want        string
		allowed     bool
	}{
		"default":                {"{}", "", "deny", false},
		"warn":                   {"{enforcementAction: warn}", "", "warn", true},
		"dryrun":                 {"{enforcementAction: dryrun}", "", "dryrun", true},
		"scoped to the webhook":  {"{enforcementAction: scoped, scopedEnforcementActions: [" + scoped("deny", "validation.gatekeeper.sh") + ", " + scoped("warn", "audit.gatekeeper.sh") + "]}", "", "deny", false},
		"scoped to audit":        {"{enforcementAction: scoped, scopedEnforcementActions: [" + scoped("deny", "audit.gatekeeper.sh") + "]}", "", "", true},
		"scoped, seen by audit":  {"{enforcementAction: scoped, scopedEnforcementActions: [" + scoped("deny", "audit.gatekeeper.sh") + "]}", "audit.gatekeeper.sh", "deny", false},
		"scoped, two actions":    {"{enforcementAction: scoped, scopedEnforcementActions: [" + scoped("deny", "validation.gatekeeper.sh") + ", " + scoped("warn", "'*'") + "]}", "", "deny warn", false},
		"scoped warn everywhere": {"{enforcementAction: scoped, scopedEnforcementActions: [" + scoped("warn", "'*'") + "]}", "", "warn", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, Config{Policies: policies(t, "kind: TestRequest\nmetadata: {name: c}\nspec: "+tt.spec), EnforcementPoint: tt.point})
			r, err := e.Review(t.Context(), pod(t, "a", "a"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range r.Violations {
				got = append(got, v.EnforcementAction)
			}
			if strings.Join(got, " ") != tt.want || r.Allowed != tt.allowed {
				t.Errorf("got actions %v, allowed %v", got, r.Allowed)
			}
		})
	}
}

func TestExpansionImposesItsAction(t *testing.T) {
	p := policies(t, "kind: TestStatus\nmetadata: {name: c}\nspec: {match: {kinds: [{apiGroups: [''], kinds: [Pod]}]}}")
	for i := range p.expansions {
		p.expansions[i].parsed.Spec.EnforcementAction = "warn"
	}
	e := newEngine(t, Config{Policies: p})
	r, err := e.Review(t.Context(), object(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {template: {spec: {containers: [{name: c, image: a}]}}}}", Defaults{}))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Allowed || len(r.Violations) != 1 || r.Violations[0].EnforcementAction != "warn" {
		t.Errorf("got %+v", r)
	}
}

func TestInventoryAndNamespaceObject(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"cm.yaml":   "{apiVersion: v1, kind: ConfigMap, metadata: {name: p, namespace: other}}",
		"ns.yaml":   "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: tills}}}",
		"list.yaml": "- no object",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := LoadCluster(nil, []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, Config{Policies: policies(t, "kind: TestUnique\nmetadata: {name: c}"), Cluster: c})
	if got, want := violationsOf(t, e, pod(t, "shop", "a")), "deny TestUnique/c namespace other has a ConfigMap of that name; team tills"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryProviderNameIsAnswered(t *testing.T) {
	const reports = "- {ImageAndTag: a, Status: accepted}"
	for name, c := range map[string]string{
		"the default":            "spec: {}",
		"from the parameters":    "spec: {parameters: {provider: some-other-name}}",
		"the other default name": "spec: {parameters: {provider: imagegate-provider}}",
	} {
		e := newEngine(t, Config{Policies: policies(t, "kind: TestStatus\nmetadata: {name: c}\n"+c), Data: data(t, reports)})
		if got := violationsOf(t, e, pod(t, "x", "a")); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestProviderObjectsSayWhichEndpoint(t *testing.T) {
	var p Policies
	for _, m := range []string{
		"{apiVersion: externaldata.gatekeeper.sh/v1beta1, kind: Provider, metadata: {name: pinner}, spec: {url: 'https://x:1/digests'}}",
		"{apiVersion: externaldata.gatekeeper.sh/v1beta1, kind: Provider, metadata: {name: digest-reports}, spec: {url: 'https://x:1/scan-reports'}}",
		"{apiVersion: externaldata.gatekeeper.sh/v1beta1, kind: Provider, metadata: {name: foreign}, spec: {url: 'https://x:1/validate'}}",
	} {
		if err := p.Add("providers", []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{digestsPath, reportsPath, reportsPath} {
		if got := pathOfProvider(p.providers[i]); got != want {
			t.Errorf("%s: %s, want %s", p.providers[i].Name, got, want)
		}
	}
}

func TestWithoutDataEveryScanFails(t *testing.T) {
	e := newEngine(t, Config{Policies: policies(t, "kind: TestStatus\nmetadata: {name: c}")})
	if got := violationsOf(t, e, pod(t, "x", "a")); !strings.Contains(got, "is scan_failed") {
		t.Errorf("got %q", got)
	}
}

// Engines share OPA's one table of builtins: each must get its own answers.
func TestEnginesSideBySide(t *testing.T) {
	const c = "kind: TestStatus\nmetadata: {name: c}"
	var engines []*Engine
	for i := range 3 {
		reports := fmt.Sprintf("- {ImageAndTag: 'a:%d', Status: accepted}", i)
		engines = append(engines, newEngine(t, Config{Policies: policies(t, c), Data: data(t, reports)}))
	}
	var wg sync.WaitGroup
	for i, e := range engines {
		for j := range 6 {
			wg.Go(func() {
				image := fmt.Sprintf("a:%d", j%3)
				r, err := e.Review(t.Context(), pod(t, "x", image))
				if err != nil {
					t.Error(err)
					return
				}
				if want := j%3 == i; r.Allowed != want {
					t.Errorf("engine %d, image %s: allowed %v", i, image, r.Allowed)
				}
				if strings.Join(r.Scanned, " ") != image {
					t.Errorf("engine %d, image %s: scanned %v", i, image, r.Scanned)
				}
			})
		}
	}
	wg.Wait()
}

func TestACancelledReviewIsNoJudgement(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := newEngine(t, Config{Policies: policies(t, "kind: TestStatus\nmetadata: {name: c}"), Data: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})})
	if r, err := e.Review(ctx, pod(t, "x", "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func BenchmarkReviewPod(b *testing.B) {
	p, err := LoadPolicies([]string{"testdata/templates"}, []string{"testdata/constraints/status.yaml"})
	if err != nil {
		b.Fatal(err)
	}
	reports, err := fixture.Load("testdata/reports/reports.yaml")
	if err != nil {
		b.Fatal(err)
	}
	objects, err := ReadObjects("testdata/objects/pod-bad.yaml", nil, Defaults{})
	if err != nil {
		b.Fatal(err)
	}
	h, err := reports.Handler()
	if err != nil {
		b.Fatal(err)
	}
	e, err := New(b.Context(), Config{Policies: p, Data: h})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	for b.Loop() {
		if _, err := e.Review(b.Context(), objects[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func TestEnginesGiveEverythingBack(t *testing.T) {
	p := policies(t, "kind: TestRequest\nmetadata: {name: c}")
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	before := open()
	for range 20 {
		e, err := New(t.Context(), Config{Policies: p})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// Some are closed a little later, by goroutines that end.
	if after := open(); after > before+10 {
		t.Errorf("%d open files before, %d after 20 engines", before, after)
	}
}
