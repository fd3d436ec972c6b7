package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/system"
)

// policyCase is an entry of testdata/policies/cases.yaml.
type policyCase struct {
	Name, Policy, Namespace string
	Images, Init, Volumes   []string
	Reason                  string
	Groups                  []string
	Denials, Warnings       []string
}

// tablePolicy is an entry of testdata/policies/policies.yaml.
type tablePolicy struct {
	Kind              string
	EnforcementAction string
	Parameters        map[string]any
}

// verdict is what a Pod's author reads.
type verdict struct{ denials, warnings []string }

// user sends the requests of the table.
const user = "alice"

// TestPolicyTable runs each case through provider review and through the real
// Gatekeeper. Decision and messages must be those of the table, both ways.
func TestPolicyTable(t *testing.T) {
	dir := filepath.Join("testdata", "policies")
	var cases []policyCase
	readYAML(t, filepath.Join(dir, "cases.yaml"), &cases)
	var policies map[string]tablePolicy
	readYAML(t, filepath.Join(dir, "policies.yaml"), &policies)
	for i := range cases {
		if cases[i].Namespace == "" {
			cases[i].Namespace = "plain"
		}
	}
	constraints := tableConstraints(t, policies)
	reports := filepath.Join(dir, "reports.yaml")
	serveFixtures(t, reports)
	prepareTable(t, cases, policies, constraints)
	reviewed := review(t, cases, constraints, reports)
	if len(cases) < 60 {
		t.Errorf("%d cases, want 60 at least", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			want := verdict{sorted(c.Denials), sorted(c.Warnings)}
			if got := reviewed[c.Namespace+"/"+c.Name]; !reflect.DeepEqual(got, want) {
				t.Errorf("provider review says\n%q\nwant\n%q", got, want)
			}
			if got := admit(t, c); !reflect.DeepEqual(got, want) {
				t.Errorf("Gatekeeper says\n%q\nwant\n%q", got, want)
			}
		})
	}
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// sorted makes an empty list nil, so that lists compare.
func sorted(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Sorted(slices.Values(list))
}

// tableConstraints writes the policies as Constraints, each for the Pods with
// its name as label, that ask the table's provider.
func tableConstraints(t *testing.T, policies map[string]tablePolicy) string {
	t.Helper()
	var out bytes.Buffer
	for name, p := range policies {
		if p.Kind == "ImageScanPolicy" || p.Kind == "ImageVulnerabilities" {
			p.Parameters["provider"] = fixtureProvider
		}
		action := p.EnforcementAction
		if action == "" {
			action = "deny"
		}
		doc, err := yaml.Marshal(map[string]any{
			"apiVersion": "constraints.gatekeeper.sh/v1beta1",
			"kind":       p.Kind,
			"metadata":   map[string]any{"name": name},
			"spec": map[string]any{
				"enforcementAction": action,
				"match": map[string]any{
					"kinds":         []any{map[string]any{"apiGroups": []string{""}, "kinds": []string{"Pod"}}},
					"labelSelector": map[string]any{"matchLabels": map[string]string{"policy": name}},
				},
				"parameters": p.Parameters,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "---\n%s", doc)
	}
	return out.String()
}

// prepareTable applies the constraints and makes the namespaces.
func prepareTable(t *testing.T, cases []policyCase, policies map[string]tablePolicy, constraints string) {
	t.Helper()
	made := map[string]bool{}
	for _, c := range cases {
		if _, ok := policies[c.Policy]; !ok {
			t.Fatalf("case %s: no policy %s", c.Name, c.Policy)
		}
		if !made[c.Namespace] {
			made[c.Namespace] = true
			namespaceNamed(t, c.Namespace, "table", system.Unpinned)
		}
	}
	if err := shared.Cluster.Apply(t.Context(), constraints); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended.
		out, err := shared.Cluster.KubectlInput(context.Background(), strings.NewReader(constraints), "delete", "-f", "-")
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	for name, p := range policies {
		if err := shared.Cluster.WaitTaken(t.Context(), cluster.ConstraintsOf(p.Kind), name); err != nil {
			t.Fatal(err)
		}
	}
}

// pod of the case.
func (c policyCase) pod() *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace, Name: c.Name, Labels: map[string]string{"policy": c.Policy},
		},
	}
	if c.Reason != "" {
		p.Annotations = map[string]string{"break-glass.imagegate.dev/reason": c.Reason}
	}
	for i, image := range c.Images {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("app-%d", i), Image: image})
	}
	for i, image := range c.Init {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: fmt.Sprintf("init-%d", i), Image: image})
	}
	for i, image := range c.Volumes {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{
			Name:         fmt.Sprintf("volume-%d", i),
			VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image}},
		})
	}
	return p
}

// groups of the case's user, with the one that lets them create Pods.
func (c policyCase) groups() []string { return append(slices.Clone(c.Groups), "system:masters") }

// review judges all cases with provider review, once for each set of groups.
func review(t *testing.T, cases []policyCase, constraints, reports string) map[string]verdict {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policies := write("constraints.yaml", constraints)
	byGroups := map[string][]policyCase{}
	for _, c := range cases {
		key := strings.Join(c.groups(), ",")
		byGroups[key] = append(byGroups[key], c)
	}
	all := map[string]verdict{}
	for groups, cases := range byGroups {
		var pods strings.Builder
		for _, c := range cases {
			doc, err := yaml.Marshal(c.pod())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&pods, "---\n%s", doc)
		}
		runReview(t, all, []string{
			"review", "--templates", filepath.Join(shared.Root, "templates"), "--constraints", policies,
			"--file", write("pods.yaml", pods.String()), "--reports", reports,
			"--as", user, "--as-group", groups, "--output", "json",
		})
	}
	return all
}

// runReview runs the provider's review command and adds what it says to all.
func runReview(t *testing.T, all map[string]verdict, args []string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), shared.Programs.Provider, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	// Exit code 1 says that something was denied.
	if err := cmd.Run(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("provider review: %v: %s", err, stderr.String())
	}
	var out struct {
		Results []struct {
			Object     string
			Allowed    bool
			Violations []struct{ EnforcementAction, Msg string }
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatalf("provider review: %v: %s", err, stdout.String())
	}
	for _, r := range out.Results {
		var v verdict
		for _, violation := range r.Violations {
			if violation.EnforcementAction == "warn" {
				v.warnings = append(v.warnings, violation.Msg)
			} else {
				v.denials = append(v.denials, violation.Msg)
			}
		}
		if r.Allowed != (len(v.denials) == 0) {
			t.Errorf("provider review of %s: allowed %v with %q", r.Object, r.Allowed, v.denials)
		}
		all[r.Object] = verdict{sorted(v.denials), sorted(v.warnings)}
	}
}

// admit sends the case's Pod to the API server as a dry run.
func admit(t *testing.T, c policyCase) verdict {
	t.Helper()
	config := rest.CopyConfig(shared.Cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: c.groups()}
	warned := &warnings{}
	config.WarningHandler = warned
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Pods(c.Namespace).Create(t.Context(), c.pod(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	v := verdict{warnings: sorted(messages(warned.get(), c.Policy))}
	if err == nil {
		return v
	}
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		t.Fatal(err)
	}
	_, denials, ok := strings.Cut(status.ErrStatus.Message, `admission webhook "validation.gatekeeper.sh" denied the request: `)
	if !ok {
		t.Fatalf("the API server says: %v", err)
	}
	v.denials = sorted(messages(strings.Split(denials, "\n"), c.Policy))
	return v
}

// messages are the lines of the constraint, without its name before them.
func messages(lines []string, constraint string) []string {
	var out []string
	for _, line := range lines {
		if msg, ok := strings.CutPrefix(line, "["+constraint+"] "); ok {
			out = append(out, msg)
		}
	}
	return out
}

// warnings collects the API server's warnings.
type warnings struct {
	mu   sync.Mutex
	list []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

func (w *warnings) get() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}
