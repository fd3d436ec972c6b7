// Package tests holds what the chart promises: for each set of values in
// imagegate/ci, as Helm 3 and Helm 4 render it, without a cluster.
package tests

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	util3 "helm.sh/helm/v3/pkg/chartutil"
	lint3 "helm.sh/helm/v3/pkg/lint"
	lint4 "helm.sh/helm/v4/pkg/chart/v2/lint"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/charts/render"
)

const chartDir = "../imagegate"

// release is what charts are rendered for, unless a test is about that.
var release = render.Release{Name: "gate", Namespace: "imagegate-system"} //nolint:gochecknoglobals // a constant that Go has no form for

var load = sync.OnceValues(func() (*render.Charts, error) { return render.Load(chartDir) }) //nolint:gochecknoglobals // read once

func charts(t *testing.T) *render.Charts {
	t.Helper()
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sets are the files of ci by their names.
func sets(t *testing.T) map[string]map[string]any {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d sets of values, %v: at least twelve are promised", len(paths), err)
	}
	all := map[string]map[string]any{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), "-values.yaml")] = parse(t, string(text))
	}
	return all
}

// eachSet runs a test for each set of values, in the order of their names.
func eachSet(t *testing.T, test func(t *testing.T, name string, values map[string]any)) {
	t.Helper()
	all := sets(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) { test(t, name, all[name]) })
	}
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return values
}

// rendered is what Helm 4 makes of values.
func rendered(t *testing.T, values map[string]any) *render.Rendered {
	t.Helper()
	r, err := charts(t).Helm4(values, release)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// objects are what values come to.
func objects(t *testing.T, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	return objectsOf(t, rendered(t, values))
}

func objectsOf(t *testing.T, r *render.Rendered) []*unstructured.Unstructured {
	t.Helper()
	list, err := r.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// one is the object of a kind and name.
func one(t *testing.T, list []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, u := range list {
		if u.GetKind() == kind && u.GetName() == name {
			return u
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// as decodes an object as what it is, and refuses fields that it does not have.
func as[T any](t *testing.T, u *unstructured.Unstructured) *T {
	t.Helper()
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, into, true); err != nil {
		t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
	return into
}

func TestBothHelmsRenderTheSameBytesEachTime(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, name string, _ map[string]any) {
		again := func() map[string]any { return sets(t)[name] }
		first, err := charts(t).Helm4(again(), release)
		if err != nil {
			t.Fatal(err)
		}
		second, err := charts(t).Helm4(again(), release)
		if err != nil {
			t.Fatal(err)
		}
		third, err := charts(t).Helm3(again(), release)
		if err != nil {
			t.Fatal(err)
		}
		upgrade, err := charts(t).Helm4(again(), render.Release{Name: release.Name, Namespace: release.Namespace, Upgrade: true})
		if err != nil {
			t.Fatal(err)
		}
		for what, other := range map[string]*render.Rendered{"a second time": second, "with Helm 3": third, "for an upgrade": upgrade} {
			if first.All() != other.All() || first.Notes != other.Notes {
				t.Errorf("rendered %s it is something else", what)
			}
		}
		t.Logf("%d objects, %d bytes", len(objectsOf(t, first)), len(first.All()))
	})
}

func TestNothingInTheTemplatesDependsOnClusterOrTime(t *testing.T) {
	t.Parallel()
	forbidden := []string{"lookup", "genCA", "genSelfSigned", "genSigned", "genPrivateKey", "randAlpha", "randNumeric", "randAscii", "randBytes", "uuidv4",
		"now", "dateInZone", ".Capabilities", ".Release.IsInstall", ".Release.IsUpgrade", ".Release.Revision", "getHostByName"}
	err := filepath.WalkDir(filepath.Join(chartDir, "templates"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for action := range actions(string(text)) {
			for _, name := range forbidden {
				if slices.Contains(strings.FieldsFunc(action, func(r rune) bool { return strings.ContainsRune(" ()|\n\t", r) }), name) {
					t.Errorf("%s uses %s: {{%s}}", path, name, action)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// actions are what stands in double braces.
func actions(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for {
			_, rest, found := strings.Cut(text, "{{")
			if !found {
				return
			}
			action, after, _ := strings.Cut(rest, "}}")
			if !strings.HasPrefix(strings.TrimLeft(action, "- "), "/*") && !yield(strings.Trim(action, "-")) {
				return
			}
			text = after
		}
	}
}

func TestObjectsHaveNoUnknownFieldAndNoName(t *testing.T) {
	t.Parallel()
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})
	foreign := map[string]bool{"cert-manager.io": true, "monitoring.coreos.com": true, "keda.sh": true, "templates.gatekeeper.sh": true, "constraints.gatekeeper.sh": true}
	eachSet(t, func(t *testing.T, _ string, values map[string]any) {
		seen := map[string]bool{}
		for _, u := range objects(t, values) {
			id := fmt.Sprintf("%s %s/%s", u.GroupVersionKind(), u.GetNamespace(), u.GetName())
			if seen[id] {
				t.Errorf("%s is there twice", id)
			}
			seen[id] = true
			if u.GetName() == "" || len(u.GetName()) > 63 {
				t.Errorf("%s: the name does not do", id)
			}
			if foreign[u.GroupVersionKind().Group] {
				continue
			}
			text, err := u.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := strict.Decode(text, nil, nil); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}

// clusterScoped are those kinds of ours that are in no namespace.
func clusterScoped(kind string) bool {
	return slices.Contains([]string{"ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
		"ConstraintTemplate", "ImageScanPolicy", "ImageDigestRequired"}, kind)
}

func TestObjectsAreWhereTheyBelongAndSayWhoseTheyAre(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, name string, values map[string]any) {
		namespace := release.Namespace
		if o, ok := values["namespaceOverride"].(string); ok {
			namespace = o
		}
		for _, u := range objects(t, values) {
			id := u.GetKind() + " " + u.GetName()
			if strings.HasSuffix(u.GetName(), "-more") || strings.HasSuffix(u.GetName(), "-text") {
				continue // the user's
			}
			pull := strings.HasSuffix(u.GetName(), "-pull-secrets")
			switch {
			case clusterScoped(u.GetKind()) && u.GetNamespace() != "":
				t.Errorf("%s is in %s", id, u.GetNamespace())
			case !clusterScoped(u.GetKind()) && u.GetNamespace() != namespace && !pull:
				t.Errorf("%s is in %q, want %q", id, u.GetNamespace(), namespace)
			case u.GetNamespace() == "kube-system":
				t.Errorf("%s is in kube-system", id)
			}
			labels := u.GetLabels()
			for _, label := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
				if labels[label] == "" {
					t.Errorf("%s has no label %s", id, label)
				}
			}
			if name == "platform" {
				if labels["team"] != "platform" || u.GetAnnotations()["contact"] != "#platform" {
					t.Errorf("%s has neither commonLabels nor commonAnnotations: %v %v", id, labels, u.GetAnnotations())
				}
			}
		}
	})
}

func TestAnyNameWillDo(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a-very-long-name", 4)
	for _, tc := range []struct{ release, values, want string }{
		{"gate", "{}", "gate-imagegate"},
		{"imagegate", "{}", "imagegate"},
		{"my-imagegate-2", "{}", "my-imagegate-2"},
		{long[:53], "{nats: {url: 'nats://n:1'}, pullSecrets: {enabled: true}, nudge: {enabled: true}, dashboard: {enabled: true}}", long[:50]},
		{"gate", "{fullnameOverride: " + long + ", replicaCount: 3}", long[:50]},
		{"gate", "{nameOverride: scans}", "gate-scans"},
	} {
		r, err := charts(t).Helm4(parse(t, tc.values), render.Release{Name: tc.release, Namespace: "a-namespace"})
		if err != nil {
			t.Errorf("%s: %v", tc.release, err)
			continue
		}
		list := objectsOf(t, r)
		one(t, list, "MutatingWebhookConfiguration", strings.TrimSuffix(tc.want, "-"))
		for _, u := range list {
			if len(u.GetName()) > 63 {
				t.Errorf("%s %s is too long", u.GetKind(), u.GetName())
			}
			for label, value := range u.GetLabels() {
				if len(value) > 63 {
					t.Errorf("%s %s: label %s: %q is too long", u.GetKind(), u.GetName(), label, value)
				}
			}
		}
	}
}

func TestGeneratedFilesAreCurrent(t *testing.T) {
	t.Parallel()
	for name, want := range generated(t) {
		have, err := os.ReadFile(filepath.Join(chartDir, name))
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what it is made of: go run ./gen in charts (%v)", name, err)
		}
	}
}

func TestHelmLintHasNothingToSay(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, _ string, values map[string]any) {
		for _, m := range lint4.RunAll(chartDir, values, release.Namespace).Messages {
			t.Errorf("Helm 4: %v", m)
		}
		k := util3.DefaultCapabilities.KubeVersion
		for _, m := range lint3.AllWithKubeVersion(chartDir, values, release.Namespace, &k).Messages {
			t.Errorf("Helm 3: %v", m)
		}
	})
}
