package review

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/templates"
)

// Where imagegate's own policies are.
const (
	libraryDir     = "../../templates"
	constraintsDir = "../../constraints"
)

// Every ready-made constraint comes with a Pod that it lets in and one that it
// keeps out.
func TestReadyMadeConstraints(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(constraintsDir, "*", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Fatal("no constraints")
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			for sample, want := range map[string]int{"allowed.yaml": CodeAllowed, "denied.yaml": CodeDenied} {
				o := Options{Templates: []string{libraryDir}, Constraints: []string{dir}, Files: []string{filepath.Join(dir, sample)}}
				if o.Reports = filepath.Join(dir, "reports.yaml"); !exists(o.Reports) {
					o.Reports = write(t, "none.yaml", "[]")
				}
				code, stdout, _, err := run(t, o)
				if err != nil {
					t.Fatal(err)
				}
				if code != want {
					t.Errorf("%s: exit code %d, want %d:\n%s", sample, code, want, stdout)
				}
			}
		})
	}
}

func TestLibrarySuites(t *testing.T) {
	found := false
	err := filepath.WalkDir(libraryDir, func(_ string, d fs.DirEntry, err error) error {
		found = found || err == nil && d.Name() == "suite.yaml"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Skip("the library has no suites")
	}
	code, stdout, _, err := run(t, Options{Suite: libraryDir + "/..."})
	if err != nil || code != CodeAllowed {
		t.Errorf("exit code %d, error %v:\n%s", code, err, stdout)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// library is the image scan policy with this constraint's spec.
func library(t *testing.T, spec string) Policies {
	t.Helper()
	p, err := LoadPolicies([]string{libraryDir}, []string{write(t, "c.yaml",
		"apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: ImageScanPolicy\nmetadata: {name: c}\nspec: "+spec)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestImageScanPolicy(t *testing.T) {
	const reports = `
- {ImageAndTag: 'good:1', Status: accepted}
- {ImageAndTag: 'bad:1', Status: rejected, Message: "CVE-1 (High) in a 1, fixed in 2"}
- {ImageAndTag: 'broken:1', Status: scan_failed, Message: no such image}`
	for name, tt := range map[string]struct {
		spec, image, namespace string
		want, scanned          string
	}{
		"accepted":           {"{parameters: {scanRules: {}}}", "good:1", "x", "", "good:1"},
		"rejected":           {"{parameters: {scanRules: {}}}", "bad:1", "x", "Image 'bad:1' REJECTED. Global default policy - scan result is 'reject': CVE-1 (High) in a 1, fixed in 2.", "bad:1"},
		"pending":            {"{parameters: {scanRules: {}}}", "new:1", "x", "Image 'new:1' REJECTED. Global default policy - scan report is pending", "new:1"},
		"pending accepted":   {"{parameters: {scanRules: {reportPending: accept}}}", "new:1", "x", "", "new:1"},
		"failed":             {"{parameters: {scanRules: {}}}", "broken:1", "x", "Image 'broken:1' REJECTED. Global default policy - scan failed: no such image.", "broken:1"},
		"another spelling":   {"{parameters: {scanRules: {}}}", "docker.io/library/good:1", "x", "", "docker.io/library/good:1"},
		"rejected unscanned": {"{parameters: {preScanPolicies: {defaultPolicy: reject}}}", "good:1", "x", "Image 'good:1' REJECTED. Global default policy", ""},
		"blank list":         {"{parameters: {scanPolicies: {customPolicies: [{prefix: bad, action: accept}], byNamespace: {dev: {customPolicies: null}}}}}", "bad:1", "dev", "Configuration error: scanPolicies.byNamespace.dev.customPolicies is blank", ""},
		"blank elsewhere":    {"{parameters: {scanPolicies: {byNamespace: {dev: {customPolicies: null}}}}}", "good:1", "x", "", "good:1"},
		"blank section":      {"{parameters: {scanRules: null}}", "good:1", "x", "Configuration error: scanRules is blank", ""},
		"blank beside these": {"{enforcementAction: null, match: null, parameters: {}}", "good:1", "x", "", "good:1"},
		"blank parameters":   {"{parameters: null}", "bad:1", "x", "Image 'bad:1' REJECTED. Global default policy - scan result is 'reject'", "bad:1"},
		"accepted unscanned": {"{parameters: {preScanPolicies: {defaultPolicy: scan, byNamespace: {dev: {defaultPolicy: accept}}}}}", "bad:1", "dev", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, Config{Policies: library(t, tt.spec), Data: data(t, reports)})
			r, err := e.Review(t.Context(), pod(t, tt.namespace, tt.image))
			if err != nil {
				t.Fatal(err)
			}
			var messages []string
			for _, v := range r.Violations {
				messages = append(messages, v.Message)
			}
			got := strings.Join(messages, "\n")
			if !strings.HasPrefix(got, tt.want) || (tt.want == "") != r.Allowed {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := strings.Join(r.Scanned, " "); got != tt.scanned {
				t.Errorf("scanned %q, want %q", got, tt.scanned)
			}
		})
	}
}

// What --explain prints is what the rules of a custom template saw: evaluated
// on it, they say what the template said.
func TestExplanationsOfACustomTemplate(t *testing.T) {
	template, err := templates.Custom([]byte(denyRules), templates.CustomOptions{Kind: "MyRules"})
	if err != nil {
		t.Fatal(err)
	}
	var p Policies
	if err := p.Add("template", template); err != nil {
		t.Fatal(err)
	}
	if err := p.Add("constraint", []byte("{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: MyRules, metadata: {name: c}}")); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, Config{Policies: p, Explain: true, Data: data(t, `
- {ImageAndTag: 'bad:1', Status: rejected, InnerReport: {status: fail}}`)})
	o := object(t, `{operation: CREATE, userInfo: {username: ann}, object: {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {
		hostNetwork: true,
		containers: [{name: a, image: "bad:1"}],
		volumes: [{name: v, image: {reference: "bad:1"}}]}}}`, Defaults{})
	r, err := e.Review(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var said, explained []string
	for _, v := range r.Violations {
		said = append(said, v.Message)
	}
	for _, x := range r.Explained {
		explained = append(explained, strings.Split(denied(t, x.Input), "|")...)
	}
	slices.Sort(explained)
	if got, want := strings.Join(explained, "|"), strings.Join(said, "|"); got != want || want == "" {
		t.Errorf("explained: %s\nsaid:      %s", got, want)
	}
}

// A review as the command makes it: templates compiled, one Pod judged.
func BenchmarkColdReview(b *testing.B) {
	p, err := LoadPolicies([]string{libraryDir}, []string{filepath.Join(constraintsDir, "accepted-only")})
	if err != nil {
		b.Fatal(err)
	}
	objects, err := ReadObjects(filepath.Join(constraintsDir, "accepted-only", "denied.yaml"), nil, Defaults{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e, err := New(b.Context(), Config{Policies: p})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.Review(b.Context(), objects[0]); err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
