package strict

import (
	"encoding"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
)

// What a value must be.
const (
	aDuration = "must be a duration such as 800ms, 30s or 1h"
	aChoice   = "must be true or false"
	aWhole    = "must be a whole number"
	aNumber   = "must be a number"
	aText     = "must be a text"
	aList     = "must be a list"
	anObject  = "must be an object"
)

// misfit words why raw does not decode into type t. The decoder names the field of
// a wrong type in the terms of Go, and no field where the type itself refuses a
// value: "soon" as a duration.
func misfit(raw []byte, t reflect.Type, err error) error {
	path, value, leaf := at("", raw, t)
	must := wanted(leaf, value)
	if must == "" {
		own := stdjson.Unmarshal(value, reflect.New(leaf).Interface())
		mistyped, ok := errors.AsType[*stdjson.UnmarshalTypeError](own)
		switch {
		case ok && wanted(mistyped.Type, value) != "":
			must = wanted(mistyped.Type, value)
		case path == "" || own == nil:
			return err
		default:
			return fmt.Errorf("%s: %w", strings.TrimPrefix(path, "."), own)
		}
	}
	if path == "" {
		return errors.New(must)
	}
	if must == aText && (string(value) == "true" || string(value) == "false") {
		must += ": in YAML on, off, yes and no are true and false unless they are quoted"
	}
	return fmt.Errorf("%s: %s %s", strings.TrimPrefix(path, "."), shown(value), must)
}

// TypeError words an error of encoding/json that another library passes on.
func TypeError(err error) error {
	mistyped, ok := errors.AsType[*stdjson.UnmarshalTypeError](err)
	if !ok || wanted(mistyped.Type, nil) == "" {
		return err
	}
	if mistyped.Field == "" {
		return errors.New(wanted(mistyped.Type, nil))
	}
	return fmt.Errorf("%s: %s", mistyped.Field, wanted(mistyped.Type, nil))
}

// at finds the first field below path that does not decode, and what is wanted of it.
func at(path string, raw []byte, t reflect.Type) (string, []byte, reflect.Type) {
	if decodesItself(t) {
		return path, raw, t
	}
	switch t.Kind() {
	case reflect.Pointer:
		return at(path, raw, t.Elem())
	case reflect.Struct:
		values := map[string]stdjson.RawMessage{}
		if json.UnmarshalCaseSensitivePreserveInts(raw, &values) != nil {
			return path, raw, t
		}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" && !f.Anonymous && f.IsExported() {
				name = f.Name
			}
			if value, ok := values[name]; ok && name != "" && !decodes(value, f.Type) {
				return at(path+"."+name, value, f.Type)
			}
		}
	case reflect.Slice:
		var values []stdjson.RawMessage
		if json.UnmarshalCaseSensitivePreserveInts(raw, &values) != nil {
			return path, raw, t
		}
		for i, value := range values {
			if !decodes(value, t.Elem()) {
				return at(fmt.Sprintf("%s[%d]", path, i), value, t.Elem())
			}
		}
	case reflect.Map:
		values := map[string]stdjson.RawMessage{}
		if json.UnmarshalCaseSensitivePreserveInts(raw, &values) != nil {
			return path, raw, t
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if !decodes(values[key], t.Elem()) {
				return at(fmt.Sprintf("%s[%s]", path, key), values[key], t.Elem())
			}
		}
	default: // a value on its own
	}
	return path, raw, t
}

func decodes(raw []byte, t reflect.Type) bool {
	return json.UnmarshalCaseSensitivePreserveInts(raw, reflect.New(t).Interface()) == nil
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[stdjson.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// wanted is what a value of t must be; empty where the type itself says it best.
func wanted(t reflect.Type, raw []byte) string {
	text := len(raw) > 0 && raw[0] == '"'
	switch {
	case t == reflect.TypeFor[metav1.Duration]():
		return aDuration
	case decodesItself(t) && (text || t.Kind() == reflect.Struct):
		return ""
	case decodesItself(t):
		return aText
	}
	switch t.Kind() {
	case reflect.Bool:
		return aChoice
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return aWhole
	case reflect.Float32, reflect.Float64:
		return aNumber
	case reflect.String:
		return aText
	case reflect.Slice, reflect.Array:
		return aList
	case reflect.Struct, reflect.Map:
		return anObject
	default:
		return ""
	}
}

// shown is a value as it was written, as far as that says something in a line.
func shown(raw []byte) string {
	const most = 40
	switch {
	case len(raw) > 0 && raw[0] == '{':
		return "an object"
	case len(raw) > 0 && raw[0] == '[':
		return "a list"
	case len(raw) > most:
		return string(raw[:most]) + "..."
	}
	return string(raw)
}
