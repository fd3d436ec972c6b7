package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/charts/documents"
)

// Values that a document shows, whole or in a manifest of Argo CD or Flux, are taken by
// the chart.
func TestValuesInDocumentsAreTaken(t *testing.T) {
	t.Parallel()
	all, err := documents.Markdown("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	known := parse(t, string(text))
	shown := 0
	for _, name := range []string{"README.md", "charts/imagegate/README.md", "charts/imagegate/OPERATING.md"} {
		for _, block := range documents.Blocks(all[name], "yaml") {
			for text := range strings.SplitSeq(block, "\n---\n") {
				var values map[string]any
				if err := yaml.Unmarshal([]byte(text), &values); err != nil {
					continue // a list, or a manifest with gaps
				}
				for _, in := range [][]string{{"spec", "values"}, {"spec", "source", "helm", "valuesObject"}} {
					if found, ok, err := unstructured.NestedMap(values, in...); err == nil && ok {
						values = found
					}
				}
				if !among(values, known) || name == "README.md" && values["policies"] == nil { // the programs' settings have tests of their own
					continue
				}
				shown++
				if _, err := charts(t).Helm4(values, release); err != nil {
					t.Errorf("%s: %v\n%s", name, err, text)
				}
			}
		}
	}
	if shown < 4 {
		t.Errorf("%d examples of values found", shown)
	}
}

// among reports whether a key of values is one of the chart's.
func among(values, known map[string]any) bool {
	for key := range values {
		if _, ok := known[key]; ok {
			return true
		}
	}
	return false
}
