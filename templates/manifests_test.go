package templates_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	expansionunversioned "github.com/open-policy-agent/gatekeeper/v3/apis/expansion/unversioned"
	expansionv1alpha1 "github.com/open-policy-agent/gatekeeper/v3/apis/expansion/v1alpha1"
	"github.com/open-policy-agent/gatekeeper/v3/apis/mutations/unversioned"
	mutationsv1 "github.com/open-policy-agent/gatekeeper/v3/apis/mutations/v1"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/expansion"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/mutators/assign"
	mutationtypes "github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/types"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// assigned is every place that the Assign mutators pin: kind, requests (all
// where none are named), location.
var assigned = []string{
	"/Pod CREATE spec.containers[name: *].image",
	"/Pod CREATE spec.initContainers[name: *].image",
	"/Pod UPDATE spec.ephemeralContainers[name: *].image",
	"apps/DaemonSet  spec.template.spec.containers[name: *].image",
	"apps/DaemonSet  spec.template.spec.initContainers[name: *].image",
	"apps/Deployment  spec.template.spec.containers[name: *].image",
	"apps/Deployment  spec.template.spec.initContainers[name: *].image",
	"apps/ReplicaSet  spec.template.spec.containers[name: *].image",
	"apps/ReplicaSet  spec.template.spec.initContainers[name: *].image",
	"apps/StatefulSet  spec.template.spec.containers[name: *].image",
	"apps/StatefulSet  spec.template.spec.initContainers[name: *].image",
	"batch/CronJob  spec.jobTemplate.spec.template.spec.containers[name: *].image",
	"batch/CronJob  spec.jobTemplate.spec.template.spec.initContainers[name: *].image",
	"batch/Job CREATE spec.template.spec.containers[name: *].image",
	"batch/Job CREATE spec.template.spec.initContainers[name: *].image",
}

// TestAssignMutators reads every Assign as the API server and Gatekeeper do.
func TestAssignMutators(t *testing.T) {
	crd := gatekeeperCRD(t, "mutations.gatekeeper.sh_assign.yaml")
	files, err := filepath.Glob("assign/*/assign.yaml")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
	var places []string
	for _, file := range files {
		for _, document := range documents(t, file) {
			checkAgainst(t, crd, "v1", document)
			var typed mutationsv1.Assign
			if err := yaml.UnmarshalStrict(document, &typed); err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			var plain unversioned.Assign
			if err := json.Unmarshal(mustJSON(t, typed), &plain); err != nil {
				t.Fatal(err)
			}
			mutator, err := assign.MutatorForAssign(&plain)
			if err != nil {
				t.Errorf("%s: %s: %v", file, typed.Name, err)
				continue
			}
			if seen[typed.Name] {
				t.Errorf("%s is there twice", typed.Name)
			}
			seen[typed.Name] = true
			if !mutator.HasDiff(&assign.Mutator{}) {
				t.Errorf("%s: empty mutator", typed.Name)
			}
			if name := typed.Spec.Parameters.Assign.ExternalData.Provider; name != "imagegate-digests" {
				t.Errorf("%s asks %s", typed.Name, name)
			}
			places = append(places, placesOf(typed)...)
		}
	}
	slices.Sort(places)
	if diff := cmp.Diff(assigned, places); diff != "" {
		t.Error(diff)
	}
}

func placesOf(a mutationsv1.Assign) []string {
	var places []string
	for _, applied := range a.Spec.ApplyTo {
		operations := make([]string, len(applied.Operations))
		for i, operation := range applied.Operations {
			operations[i] = string(operation)
		}
		for _, group := range applied.Groups {
			for _, kind := range applied.Kinds {
				places = append(places, fmt.Sprintf("%s/%s %s %s", group, kind, strings.Join(operations, ","), a.Spec.Location))
			}
		}
	}
	return places
}

// TestExpansionTemplates expands a workload of every kind into its Pod, by
// Gatekeeper's own code.
func TestExpansionTemplates(t *testing.T) {
	crd := gatekeeperCRD(t, "expansion.gatekeeper.sh_expansiontemplate.yaml")
	system := expansion.NewSystem(nil)
	for _, document := range append(documents(t, "expansion/workloads.yaml"), documents(t, "expansion/cronjobs.yaml")...) {
		checkAgainst(t, crd, "v1alpha1", document)
		var typed expansionv1alpha1.ExpansionTemplate
		if err := yaml.UnmarshalStrict(document, &typed); err != nil {
			t.Fatal(err)
		}
		var plain expansionunversioned.ExpansionTemplate
		if err := json.Unmarshal(mustJSON(t, typed), &plain); err != nil {
			t.Fatal(err)
		}
		if err := system.UpsertTemplate(&plain); err != nil {
			t.Fatal(err)
		}
	}
	for kind, want := range map[string]int{
		"apps/v1/Deployment": 1, "apps/v1/StatefulSet": 1, "apps/v1/DaemonSet": 1, "apps/v1/ReplicaSet": 1,
		"batch/v1/Job": 1, "batch/v1/CronJob": 1, "v1/Pod": 0, "v1/Service": 0,
	} {
		made := expand(t, system, kind)
		if len(made) != want {
			t.Errorf("%s: expanded to %d objects, want %d", kind, len(made), want)
			continue
		}
		if want == 0 {
			continue
		}
		pod := made[0]
		containers, _, err := unstructured.NestedSlice(pod.Obj.Object, "spec", "containers")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{map[string]any{"name": "app", "image": "app:1"}}, containers); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		if gvk := pod.Obj.GroupVersionKind(); gvk.String() != "/v1, Kind=Pod" || pod.Obj.GetNamespace() != "shop" || pod.EnforcementAction != "" {
			t.Errorf("%s: made %s in %q with action %q", kind, gvk, pod.Obj.GetNamespace(), pod.EnforcementAction)
		}
	}
}

// expand returns what Gatekeeper makes of a workload of the kind, which is given
// with its API version before it.
func expand(t *testing.T, system *expansion.System, kind string) []*expansion.Resultant {
	t.Helper()
	version, kind := path.Split(kind)
	source := []string{"spec", "template"}
	if kind == "CronJob" {
		source = []string{"spec", "jobTemplate", "spec", "template"}
	}
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAPIVersion(strings.TrimSuffix(version, "/"))
	object.SetKind(kind)
	object.SetName("app")
	object.SetNamespace("shop")
	template := map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": "app:1"}}}}
	if err := unstructured.SetNestedMap(object.Object, template, source...); err != nil {
		t.Fatal(err)
	}
	made, err := system.Expand(&mutationtypes.Mutable{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func documents(t *testing.T, file string) [][]byte {
	t.Helper()
	return bytes.Split(readFile(t, file), []byte("\n---\n"))
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// gatekeeperCRD reads a CRD from Gatekeeper's own module.
func gatekeeperCRD(t *testing.T, name string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/open-policy-agent/gatekeeper/v3").Output()
	if err != nil {
		t.Fatalf("finding Gatekeeper's module: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "config/crd/bases", name))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	return &crd
}

// checkAgainst validates a manifest as an API server with the CRD would.
func checkAgainst(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition, version string, document []byte) {
	t.Helper()
	for _, served := range crd.Spec.Versions {
		if served.Name != version {
			continue
		}
		var plain apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(served.Schema.OpenAPIV3Schema, &plain, nil); err != nil {
			t.Fatal(err)
		}
		validator, _, err := validation.NewSchemaValidator(&plain)
		if err != nil {
			t.Fatal(err)
		}
		object := plainJSON(t, string(document))
		if errs := validation.ValidateCustomResource(nil, object, validator); len(errs) > 0 {
			t.Errorf("%s\n%v", document, errs)
		}
		structural, err := schema.NewStructural(&plain)
		if err != nil {
			t.Fatal(err)
		}
		if unknown := pruning.PruneWithOptions(object, structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}); len(unknown) > 0 {
			t.Errorf("%s\nunknown fields %v", document, unknown)
		}
		return
	}
	t.Fatalf("the CRD serves no version %s", version)
}
