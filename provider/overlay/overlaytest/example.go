// Package overlaytest checks for the commands' configuration packages that what
// the documentation shows is a configuration.
package overlaytest

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// ExampleIsWhole checks the YAML example in a Markdown file that begins with the
// given text: its fields exist in C, each with its right type, and none of those
// that the defaults write is missing.
func ExampleIsWhole[C any](t testing.TB, file, begins string, defaults C) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```yaml\n"+begins)
	if !ok {
		t.Fatalf("%s has no example that begins with %q", file, begins)
	}
	example, _, _ := strings.Cut(begins+rest, "```")
	var c C
	if err := yaml.UnmarshalStrict([]byte(example), &c); err != nil {
		t.Error(err)
	}
	written, err := yaml.Marshal(defaults)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range missing(object(t, written), object(t, []byte(example))) {
		t.Errorf("the example lacks %s", field)
	}
}

func object(t testing.TB, text []byte) (fields map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// missing returns the fields of all that given does not have.
func missing(all, given map[string]any) (fields []string) {
	for name, value := range all {
		got, ok := given[name]
		if !ok {
			fields = append(fields, name)
			continue
		}
		below, _ := value.(map[string]any)
		has, _ := got.(map[string]any)
		for _, field := range missing(below, has) {
			fields = append(fields, name+"."+field)
		}
	}
	return fields
}
