package documents

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The fields and flags of provider and mutator are held against the page by the tests
// of their configuration packages.
const settings = "charts/imagegate/SETTINGS.md"

func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	names, err := Metrics(Root)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 55 {
		t.Fatalf("%d metrics found", len(names))
	}
	_, text, ok := strings.Cut(document(t, settings), "\n## Metrics\n")
	if !ok {
		t.Fatalf("%s has no section Metrics", settings)
	}
	told := map[string]bool{}
	for _, span := range CodeSpans(text) {
		if strings.HasPrefix(span, "imagegate_") && !strings.HasSuffix(span, "_") {
			told[span] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !told[name] {
			t.Errorf("%s: write what it says and its labels: | `%s` | | |", settings, name)
		}
	}
	for name := range told {
		if !names[name] {
			t.Errorf("%s: there is no metric %s", settings, name)
		}
	}
}

// A document that names a metric names one that there is.
func TestMetricsInDocumentsExist(t *testing.T) {
	t.Parallel()
	names, err := Metrics(Root)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range markdown(t) {
		for _, span := range CodeSpans(text) {
			metric, _, _ := strings.Cut(span, "{")
			if regexp.MustCompile(`^imagegate_[a-z_]+[a-z]$`).MatchString(metric) && !names[metric] {
				t.Errorf("%s: there is no metric %s", name, metric)
			}
		}
	}
}

func TestEveryFlagOfTheScannerIsDocumented(t *testing.T) {
	t.Parallel()
	sources, err := Sources(Root, false, "scanner/cli")
	if err != nil {
		t.Fatal(err)
	}
	readme := document(t, "scanner/README.md")
	flag := regexp.MustCompile(`Var\(\(?[^"\n]*"([a-z][a-z-]+)"`)
	var found int
	for _, m := range flag.FindAllStringSubmatch(sources["scanner/cli/serve.go"], -1) {
		found++
		if !strings.Contains(readme, "`--"+m[1]) {
			t.Errorf("scanner/README.md: there is nothing of --%s", m[1])
		}
	}
	if found < 25 {
		t.Errorf("%d flags found", found)
	}
}

// paths adds the dotted names of all that a YAML document has, and returns those whose
// content is open: an empty map, a list or null.
func paths(at string, v any, known, open map[string]bool) {
	m, isMap := v.(map[string]any)
	if at != "" {
		known[at] = true
		if list, isList := v.([]any); isList || v == nil || isMap && len(m) == 0 {
			open[at] = true
			for _, item := range list {
				paths(at, item, known, open)
			}
		}
	}
	for name, below := range m {
		paths(strings.TrimPrefix(at+"."+name, "."), below, known, open)
	}
}

// What a document names as a value or a setting, section.name, is one.
func TestSettingsInDocumentsExist(t *testing.T) {
	t.Parallel()
	known, open := map[string]bool{}, map[string]bool{}
	texts := []string{document(t, "charts/imagegate/values.yaml")}
	texts = append(texts, Blocks(document(t, settings), "yaml")...)
	for _, text := range texts {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		paths("", v, known, open)
	}
	dotted := regexp.MustCompile(`^[a-z][A-Za-z]*(\.[a-zA-Z]+)+$`)
	checked := 0
	for name, text := range markdown(t) {
		if strings.HasPrefix(name, "constraints/") || strings.HasPrefix(name, "templates/") || strings.HasPrefix(name, "scanner/") {
			continue // of Constraints and of the worker's API
		}
		before, sysdigs, _ := strings.Cut(text, "\n## From Sysdig's charts\n") // has old names
		_, after, _ := strings.Cut(sysdigs, "\n## ")
		for _, span := range CodeSpans(before + "\n" + after) {
			setting, _, _ := strings.Cut(span, ":")
			section, _, _ := strings.Cut(setting, ".")
			if !dotted.MatchString(setting) || !known[section] {
				continue
			}
			checked++
			if known[setting] {
				continue
			}
			inOpen := false
			for at := range open {
				inOpen = inOpen || strings.HasPrefix(setting, at+".")
			}
			if !inOpen {
				t.Errorf("%s: there is no value or setting %s", name, setting)
			}
		}
	}
	if checked < 100 {
		t.Errorf("%d names checked", checked)
	}
}
