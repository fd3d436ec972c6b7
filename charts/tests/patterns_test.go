package tests

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/imagegate/imagegate/provider/pattern/patterntest"
	"github.com/imagegate/imagegate/provider/platform"
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

// TestTheSchemaRefusesPlatformsThatThereAreNot: helm says so before a Pod starts that
// would not.
func TestTheSchemaRefusesPlatformsThatThereAreNot(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../imagegate/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Registry struct {
				Properties struct {
					Platforms struct {
						Items struct {
							Pattern string `json:"pattern"`
						} `json:"items"`
					} `json:"platforms"`
				} `json:"properties"`
			} `json:"registry"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	form, err := regexp.Compile(schema.Properties.Registry.Properties.Platforms.Items.Pattern)
	if err != nil {
		t.Fatal(err)
	}
	for s, fits := range map[string]bool{
		"linux/amd64": true, "linux/arm64": true, "linux/arm/v7": true, "windows/amd64": true, "linux/s390x": true,
		"linux/amd46": false, "linus/amd64": false, "linux/x86": false, "linux": false, "linux/amd64,linux/arm64": false,
	} {
		if form.MatchString(s) != fits {
			t.Errorf("%s: %v, want %v", s, !fits, fits)
		}
		set, err := platform.ParseWritten(s)
		if known := err == nil && len(set) == 1; known != fits {
			t.Errorf("%s: the provider says %v, and the schema %v", s, err, fits)
		}
	}
}
