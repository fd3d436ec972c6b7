package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/e2e/cluster"
)

// applyExpansion applies the repository's ExpansionTemplates for one test.
func applyExpansion(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared.Root, "templates", "expansion", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	applied := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(data, &obj.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if obj.GetKind() != "ExpansionTemplate" {
			continue
		}
		if err := shared.Cluster.Apply(t.Context(), string(data)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { deleteWith(t, "-f", file) })
		if err := shared.Cluster.WaitTaken(t.Context(), cluster.Expanders, obj.GetName()); err != nil {
			t.Fatal(err)
		}
		applied++
	}
	if applied == 0 {
		t.Fatal("no ExpansionTemplate in templates/expansion")
	}
}
