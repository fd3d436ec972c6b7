package templates_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	expansionv1alpha1 "github.com/open-policy-agent/gatekeeper/v3/apis/expansion/v1alpha1"
	"github.com/open-policy-agent/gatekeeper/v3/apis/mutations/unversioned"
	mutationsv1 "github.com/open-policy-agent/gatekeeper/v3/apis/mutations/v1"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/mutators/assign"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"sigs.k8s.io/yaml"
)

// TestAssignMutators reads every Assign as the API server and Gatekeeper do.
func TestAssignMutators(t *testing.T) {
	crd := gatekeeperCRD(t, "mutations.gatekeeper.sh_assign.yaml")
	files, err := filepath.Glob("assign/*/assign.yaml")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
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
		}
	}
}

// TestExpansionTemplates expands a workload of every kind into its Pod.
func TestExpansionTemplates(t *testing.T) {
	crd := gatekeeperCRD(t, "expansion.gatekeeper.sh_expansiontemplate.yaml")
	covered := map[string]string{}
	for _, document := range append(documents(t, "expansion/workloads.yaml"), documents(t, "expansion/cronjobs.yaml")...) {
		checkAgainst(t, crd, "v1alpha1", document)
		var typed expansionv1alpha1.ExpansionTemplate
		if err := yaml.UnmarshalStrict(document, &typed); err != nil {
			t.Fatal(err)
		}
		for _, applied := range typed.Spec.ApplyTo {
			for _, kind := range applied.Kinds {
				covered[strings.Join(applied.Groups, ",")+"/"+kind] = typed.Spec.TemplateSource
			}
		}
	}
	for kind, source := range map[string]string{
		"apps/Deployment": "spec.template", "apps/StatefulSet": "spec.template", "apps/DaemonSet": "spec.template",
		"apps/ReplicaSet": "spec.template", "batch/Job": "spec.template", "batch/CronJob": "spec.jobTemplate.spec.template",
	} {
		if covered[kind] != source {
			t.Errorf("%s is expanded from %q, want %q", kind, covered[kind], source)
		}
	}
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
