package overlay

import (
	stdjson "encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/json"
)

// misfit returns the path of the first field in raw that does not decode into
// type t, such as "server.budget", or "" when it cannot tell. The decoder names
// the field of a wrong type, but not of a value that the type itself refuses:
// "soon" as a duration.
func misfit(raw []byte, t reflect.Type) string {
	return strings.TrimPrefix(misfitBelow(raw, t), ".")
}

func misfitBelow(raw []byte, t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		values := map[string]stdjson.RawMessage{}
		if json.UnmarshalCaseSensitivePreserveInts(raw, &values) != nil {
			return ""
		}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if value, ok := values[name]; ok && name != "" && !decodes(value, f.Type) {
				return "." + name + misfitBelow(value, f.Type)
			}
		}
	case reflect.Slice:
		var values []stdjson.RawMessage
		if json.UnmarshalCaseSensitivePreserveInts(raw, &values) != nil {
			return ""
		}
		for i, value := range values {
			if !decodes(value, t.Elem()) {
				return fmt.Sprintf("[%d]%s", i, misfitBelow(value, t.Elem()))
			}
		}
	case reflect.Map:
		values := map[string]stdjson.RawMessage{}
		if json.UnmarshalCaseSensitivePreserveInts(raw, &values) != nil {
			return ""
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if !decodes(values[key], t.Elem()) {
				return fmt.Sprintf("[%s]%s", key, misfitBelow(values[key], t.Elem()))
			}
		}
	default: // a value on its own
	}
	return ""
}

func decodes(raw []byte, t reflect.Type) bool {
	return json.UnmarshalCaseSensitivePreserveInts(raw, reflect.New(t).Interface()) == nil
}
