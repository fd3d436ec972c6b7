package parity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// file is one file of the table.
type file struct {
	Templates []Template       `json:"templates"`
	Cases     []map[string]any `json:"cases"`
}

// Load reads the table from the YAML files of a folder. In every text of a case
// <ns> is its namespace, and <now-36h>, <now-7d> and <today+5d> are times
// relative to now: times both ways must be the same, and the same as in the
// messages that are expected.
func Load(dir string, now time.Time) (Table, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return Table{}, fmt.Errorf("find the cases: %w", err)
	}
	var t Table
	names := map[string]bool{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return Table{}, fmt.Errorf("read the cases: %w", err)
		}
		var f file
		if err := yaml.UnmarshalStrict(data, &f); err != nil {
			return Table{}, fmt.Errorf("read the cases of %s: %w", path, err)
		}
		t.Templates = append(t.Templates, f.Templates...)
		for i, raw := range f.Cases {
			c, err := read(raw, now)
			if err != nil {
				return Table{}, fmt.Errorf("%s: case %d (%v): %w", path, i+1, raw["name"], err)
			}
			if c.Name == "" || c.Kind == "" || names[c.Name] || names[c.Namespace] {
				return Table{}, fmt.Errorf("%s: case %d (%v): name or kind is missing, or name or namespace is taken", path, i+1, c.Name)
			}
			names[c.Name], names[c.Namespace] = true, true
			t.Cases = append(t.Cases, c)
		}
	}
	if len(t.Cases) == 0 {
		return Table{}, fmt.Errorf("no cases in %s", dir)
	}
	return t, nil
}

// namespacePrefix starts the names of namespaces that are made up for a case.
const namespacePrefix = "parity-"

func read(raw map[string]any, now time.Time) (Case, error) {
	name, _ := raw["name"].(string)
	namespace, _ := raw["namespace"].(string)
	if namespace == "" {
		namespace = namespacePrefix + name
	}
	raw["namespace"] = namespace
	filled, err := json.Marshal(fill(raw, namespace, now))
	if err != nil {
		return Case{}, err
	}
	var c Case
	dec := json.NewDecoder(bytes.NewReader(filled))
	dec.DisallowUnknownFields()
	err = dec.Decode(&c)
	return c, err
}

// fill replaces the placeholders in all texts below v, keys among them.
func fill(v any, namespace string, now time.Time) any {
	switch v := v.(type) {
	case string:
		return fillText(v, namespace, now)
	case []any:
		for i := range v {
			v[i] = fill(v[i], namespace, now)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[fillText(key, namespace, now)] = fill(value, namespace, now)
		}
		return out
	}
	return v
}

var moment = regexp.MustCompile(`<(now|today)(?:([+-])(\d+)([hd]))?>`)

func fillText(s, namespace string, now time.Time) string {
	s = strings.ReplaceAll(s, "<ns>", namespace)
	return moment.ReplaceAllStringFunc(s, func(found string) string {
		m := moment.FindStringSubmatch(found)
		at := now.UTC().Add(offset(m[2], m[3], m[4]))
		if m[1] == "today" {
			return at.Format(time.DateOnly)
		}
		return at.Format(time.RFC3339)
	})
}

func offset(sign, number, unit string) time.Duration {
	n, err := strconv.Atoi(sign + number)
	if err != nil {
		return 0 // <now> has no number
	}
	if unit == "d" {
		n *= 24
	}
	return time.Duration(n) * time.Hour
}
