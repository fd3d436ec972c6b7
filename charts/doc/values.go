// Package doc makes of a chart's values.yaml the table of its README and its
// values.schema.json, so that what is documented, what is checked and what there is
// cannot differ. It knows the few conventions that the file follows: a comment above
// each value, "# == Name" above a section, and "# @schema {...}" for what the default
// does not say of a value's type.
package doc

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Value is one of a chart's values.
type Value struct {
	// Path is its name with those of what it is in.
	Path []string
	// Comment is what is said of it, on one line.
	Comment string
	// Section is the heading that it is under.
	Section string
	// Default is what it is.
	Default any
	// Group says that it only holds other values.
	Group bool
	// extra is its "@schema".
	extra map[string]any
}

// Name of the value as it is given with --set.
func (v *Value) Name() string { return strings.Join(v.Path, ".") }

var keyLine = regexp.MustCompile(`^( *)([A-Za-z][A-Za-z0-9_-]*):(.*)$`)

// Values reads values.yaml. It is an error when one has no comment.
func Values(text []byte) ([]*Value, error) {
	var defaults map[string]any
	if err := yaml.UnmarshalStrict(text, &defaults); err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	r := reader{defaults: defaults}
	for n, line := range strings.Split(string(text), "\n") {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("values, line %d: %w", n+1, err)
		}
	}
	return r.values, nil
}

// reader goes through the lines.
type reader struct {
	defaults map[string]any
	values   []*Value
	section  string
	comment  []string
	extra    map[string]any
	// open are the values that the present line may be in, by indentation.
	open []opened
}

type opened struct {
	indent int
	value  *Value
	// whole says that what is below is part of its default.
	whole bool
}

func (r *reader) line(line string) error {
	trimmed := strings.TrimSpace(line)
	if text, ok := strings.CutPrefix(trimmed, "#"); ok {
		return r.remark(strings.TrimPrefix(text, " "))
	}
	if trimmed == "" {
		r.comment, r.extra = nil, nil
		return nil
	}
	m := keyLine.FindStringSubmatch(line)
	indent := len(line) - len(strings.TrimLeft(line, " "))
	for len(r.open) > 0 && r.open[len(r.open)-1].indent >= indent && !strings.HasPrefix(trimmed, "- ") {
		r.open = r.open[:len(r.open)-1]
	}
	if len(r.open) > 0 && r.open[len(r.open)-1].whole {
		return nil
	}
	if m == nil {
		return fmt.Errorf("%q is no value", trimmed)
	}
	return r.key(indent, m[2], strings.TrimSpace(m[3]))
}

func (r *reader) remark(text string) error {
	if name, ok := strings.CutPrefix(text, "== "); ok {
		r.section, r.comment, r.extra = name, nil, nil
		return nil
	}
	if schema, ok := strings.CutPrefix(text, "@schema "); ok {
		return json.Unmarshal([]byte(schema), &r.extra)
	}
	r.comment = append(r.comment, text)
	return nil
}

func (r *reader) key(indent int, name, rest string) error {
	v := &Value{Section: r.section, Comment: strings.Join(r.comment, " "), extra: r.extra}
	r.comment, r.extra = nil, nil
	if len(r.open) > 0 {
		v.Path = append(v.Path, r.open[len(r.open)-1].value.Path...)
	}
	v.Path = append(v.Path, name)
	v.Default = at(r.defaults, v.Path)
	_, ref := v.extra["$ref"]
	_, additional := v.extra["additionalProperties"]
	v.Group = rest == "" && !ref && !additional && isMap(v.Default)
	if v.Comment == "" && !v.Group {
		return fmt.Errorf("%s has no comment", v.Name())
	}
	r.values = append(r.values, v)
	if rest == "" {
		r.open = append(r.open, opened{indent, v, !v.Group})
	}
	return nil
}

func isMap(v any) bool { _, ok := v.(map[string]any); return ok }

func at(values map[string]any, path []string) any {
	var v any = values
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// Schema makes values.schema.json of the values and of definitions that they refer to.
func Schema(values []*Value, defs []byte) ([]byte, error) {
	var definitions map[string]any
	if err := json.Unmarshal(defs, &definitions); err != nil {
		return nil, fmt.Errorf("read the definitions: %w", err)
	}
	root := object()
	for _, v := range values {
		parent := root
		for _, name := range v.Path[:len(v.Path)-1] {
			parent = sub(parent, name)
		}
		properties, _ := parent["properties"].(map[string]any)
		properties[v.Path[len(v.Path)-1]] = v.schema()
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Values of imagegate's chart. Made of values.yaml: do not edit."
	root["$defs"] = definitions
	out, err := json.MarshalIndent(root, "", "  ")
	return append(out, '\n'), err
}

func object() map[string]any {
	return map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{}}
}

func sub(parent map[string]any, name string) map[string]any {
	properties, _ := parent["properties"].(map[string]any)
	child, _ := properties[name].(map[string]any)
	return child
}

func (v *Value) schema() map[string]any {
	s := map[string]any{}
	switch d := v.Default.(type) {
	case bool:
		s["type"] = "boolean"
	case float64:
		s["type"] = "integer"
	case string:
		s["type"] = "string"
	case []any:
		s["type"] = "array"
	case map[string]any:
		s["type"] = "object"
		if v.Group {
			s = object()
		} else {
			s["additionalProperties"] = map[string]any{"type": "string"}
		}
	default:
		_ = d
	}
	if _, ref := v.extra["$ref"]; ref {
		s = map[string]any{}
	}
	maps.Copy(s, v.extra)
	if v.Comment != "" {
		s["description"] = v.Comment
	}
	if !v.Group {
		s["default"] = v.Default
	}
	return s
}

// Table is the values as Markdown, a table for each section.
func Table(values []*Value) (string, error) {
	var b strings.Builder
	section := ""
	for _, v := range values {
		if v.Group && v.Comment == "" {
			continue
		}
		if v.Section != section {
			section = v.Section
			fmt.Fprintf(&b, "\n### %s\n\n| value | default | |\n| --- | --- | --- |\n", section)
		}
		shown := ""
		if !v.Group {
			j, err := json.Marshal(v.Default)
			if err != nil {
				return "", err
			}
			shown = "`" + strings.ReplaceAll(string(j), "|", `\|`) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Name(), shown, strings.ReplaceAll(v.Comment, "|", `\|`))
	}
	return strings.TrimSpace(b.String()) + "\n", nil
}

// Leaves are the values that hold no others.
func Leaves(values []*Value) []*Value {
	return slices.DeleteFunc(slices.Clone(values), func(v *Value) bool { return v.Group })
}
