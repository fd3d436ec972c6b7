// Package strict reads what people write by hand: files, flags and environment
// variables. All mistakes of one kind read alike whatever they are in: the
// field's whole path or the flag, what was written, and what it must be. None is
// told in types of Go, which only its programmers know.
package strict

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/nearest"
)

// YAML decodes b into the value that into points at, as JSON does.
func YAML(b []byte, into any) error {
	j, err := yaml.YAMLToJSONStrict(b)
	if err != nil {
		return fmt.Errorf("not YAML: %w", err)
	}
	return JSON(j, into)
}

// JSON decodes raw into the value that into points at. A field that does not
// exist is an error, since a misspelled setting would silently be the default, and
// so is one that is there twice.
func JSON(raw []byte, into any) error {
	unknown, err := json.UnmarshalStrict(raw, into)
	if err != nil {
		err = misfit(raw, reflect.TypeOf(into).Elem(), err)
	}
	return errors.Join(append(unknown, err)...)
}

// OneOf returns nil for a value that is among those allowed, and otherwise what it
// must be: must be one of v1, v2, sysdig.
func OneOf[S ~string](value S, allowed ...S) error {
	var names []string
	for _, a := range allowed {
		if value == a {
			return nil
		}
		if a != "" {
			names = append(names, string(a))
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(names, ", "))
}

// FlagError words the mistake in a flag of flags, or in its value.
func FlagError(flags *pflag.FlagSet, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if meant, ok := nearest.To(unknown.GetSpecifiedName(), names); ok {
			return fmt.Errorf("%w: did you mean --%s?", err, meant)
		}
		return err
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return Value("--"+invalid.GetFlag().Name, invalid.GetValue(), invalid.GetFlag().Value.Type(), invalid.Unwrap())
	}
	return err
}

// Value words the mistake in a value by the type of its flag. where is the flag or
// what else it was read from.
func Value(where, value, flagType string, err error) error {
	if must, ok := map[string]string{
		"duration": aDuration, "bool": aChoice, "int": aWhole, "int64": aWhole, "uint": aWhole, "float32": aNumber, "float64": aNumber,
	}[flagType]; ok {
		return fmt.Errorf("%s: %q %s", where, value, must)
	}
	return fmt.Errorf("%s: %w", where, err)
}
