package documents

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
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
