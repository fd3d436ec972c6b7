// Package patterntest reads the table of patterns that Go, Rego and the schemas are
// held against.
package patterntest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Cases say of patterns what is wrong with them; "" is nothing.
type Cases struct {
	Prefix     map[string]string `json:"prefix"`
	Images     map[string]string `json:"images"`
	Namespace  map[string]string `json:"namespace"`
	Identifier map[string]string `json:"identifier"`
	Package    map[string]string `json:"package"`
	Closest    []struct {
		Keys []string `json:"keys"`
		Is   string   `json:"is"`
	} `json:"closest"`
}

// Read reads the table.
func Read(t testing.TB, file string) Cases {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c Cases
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Prefix) == 0 || len(c.Images) == 0 || len(c.Namespace) == 0 || len(c.Identifier) == 0 || len(c.Package) == 0 || len(c.Closest) == 0 {
		t.Fatalf("%s has lost a part", file)
	}
	return c
}

// Hold holds a schema's pattern against a part of the table. A schema shows its
// pattern and no sentence, so it is a short one: it takes all that is right, and
// refuses the mistakes that people make most.
func Hold(t testing.TB, where, pattern string, cases map[string]string) {
	t.Helper()
	form, err := regexp.Compile(pattern)
	if err != nil || pattern == "" {
		t.Fatalf("%s has no pattern (%v)", where, err)
	}
	for s, wrong := range cases {
		plain := s == "" || strings.Contains(s, "://") || strings.ContainsAny(s, "* ,")
		if takes := form.MatchString(s); wrong == "" && !takes || wrong != "" && takes && plain {
			t.Errorf("%s: the schema takes %q: %t, and wrong with it is %q", where, s, takes, wrong)
		}
	}
}
