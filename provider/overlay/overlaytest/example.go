// Package overlaytest checks for the commands' configuration packages that their
// documentation has every setting.
package overlaytest

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// ExampleIsWhole checks the YAML example in a Markdown file that begins with the
// given text: its fields exist in C, each with its right type, none of C's is
// missing, and numbers, switches and durations are those of the defaults.
func ExampleIsWhole[C any](t testing.TB, file, begins string, defaults C) {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, file), "```yaml\n"+begins)
	if !ok {
		t.Fatalf("%s has no example that begins with %q", file, begins)
	}
	example, _, _ := strings.Cut(begins+rest, "```")
	var c C
	if err := yaml.UnmarshalStrict([]byte(example), &c); err != nil {
		t.Error(err)
	}
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(example), &fields); err != nil {
		t.Fatal(err)
	}
	for _, field := range missing(reflect.TypeFor[C](), fields) {
		t.Errorf("%s: the example lacks %s", file, field)
	}
	for _, field := range others(reflect.ValueOf(defaults), reflect.ValueOf(c)) {
		t.Errorf("%s: the example's value is not the default: %s", file, field)
	}
}

// ExamplesExist checks that the YAML examples in a Markdown file that begin with a field
// of C have only fields of C.
func ExamplesExist[C any](t testing.TB, file string) {
	t.Helper()
	known := map[string]bool{}
	fieldsOf(reflect.TypeFor[C](), func(name string, _ reflect.StructField) { known[name] = true })
	found := 0
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(read(t, file), -1) {
		var fields map[string]any
		if err := yaml.Unmarshal([]byte(m[1]), &fields); err != nil {
			continue // of another kind, with gaps
		}
		for name := range fields {
			if !known[name] {
				fields = nil
			}
		}
		if len(fields) == 0 {
			continue
		}
		found++
		var c C
		if err := yaml.UnmarshalStrict([]byte(m[1]), &c); err != nil {
			t.Errorf("%s: %v\n%s", file, err, m[1])
		}
	}
	if found == 0 {
		t.Errorf("%s has no example", file)
	}
}

// FlagsAreNamed checks that the table after a heading has each flag, and no other.
func FlagsAreNamed(t testing.TB, file, heading string, flags *pflag.FlagSet) {
	t.Helper()
	_, section, ok := strings.Cut(read(t, file), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	var named []string
	for _, m := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)`").FindAllStringSubmatch(section, -1) {
		named = append(named, m[1])
		if flags.Lookup(m[1]) == nil {
			t.Errorf("%s: there is no flag --%s", file, m[1])
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(named, f.Name) {
			t.Errorf("%s: below %q is no row for --%s", file, heading, f.Name)
		}
	})
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leaf reports whether a type is written as one value.
func leaf(typ reflect.Type) bool {
	return typ.Kind() != reflect.Struct || reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// fieldsOf calls with each field of a struct by its name in files, those of embedded ones
// too.
func fieldsOf(typ reflect.Type, call func(name string, f reflect.StructField)) {
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" && f.IsExported() {
			call(name, f)
		}
	}
}

// missing returns the fields of a type that an example does not have.
func missing(typ reflect.Type, example any) (fields []string) {
	if typ.Kind() == reflect.Slice {
		list, _ := example.([]any)
		if leaf(typ.Elem()) {
			return nil
		}
		if len(list) == 0 {
			return []string{"an item"}
		}
		// One item does not repeat all that its kind can have.
		return nil
	}
	if leaf(typ) {
		return nil
	}
	given, _ := example.(map[string]any)
	fieldsOf(typ, func(name string, f reflect.StructField) {
		value, ok := given[name]
		if !ok {
			fields = append(fields, name)
			return
		}
		for _, below := range missing(f.Type, value) {
			fields = append(fields, name+"."+below)
		}
	})
	return fields
}

// others returns the numbers, switches and durations that are not the default's, where
// there is one.
func others(defaults, example reflect.Value) (fields []string) {
	fieldsOf(defaults.Type(), func(name string, f reflect.StructField) {
		want, got := defaults.FieldByIndex(f.Index), example.FieldByIndex(f.Index)
		switch {
		case !leaf(f.Type):
			for _, below := range others(want, got) {
				fields = append(fields, name+"."+below)
			}
		case f.Type.Kind() == reflect.Slice || f.Type.Kind() == reflect.Map || f.Type.Kind() == reflect.String:
		case !want.IsZero() && !reflect.DeepEqual(want.Interface(), got.Interface()):
			fields = append(fields, name)
		}
	})
	return fields
}
