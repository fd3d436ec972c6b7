package tests

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/imagegate/imagegate/provider/pattern/patterntest"
)

// TestTheSchemaHasThePatternsOfTheTable holds the chart's schema against the table
// that the provider and the templates are held against.
func TestTheSchemaHasThePatternsOfTheTable(t *testing.T) {
	t.Parallel()
	c := patterntest.Read(t, "../../provider/pattern/testdata/cases.yaml")
	text, err := os.ReadFile("../doc/defs.json")
	if err != nil {
		t.Fatal(err)
	}
	var defs map[string]struct {
		Pattern string `json:"pattern"`
	}
	if err := json.Unmarshal(text, &defs); err != nil {
		t.Fatal(err)
	}
	for name, cases := range map[string]map[string]string{
		"prefix": c.Prefix, "images": c.Images, "namespaces": c.Namespace, "vulnerability": c.Identifier,
	} {
		patterntest.Hold(t, name, defs[name].Pattern, cases)
	}
}
