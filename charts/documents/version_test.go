package documents

import (
	"regexp"
	"testing"

	"github.com/imagegate/imagegate/provider/version"
)

// The chart and the programs are released together.
func TestOneVersion(t *testing.T) {
	t.Parallel()
	scanner, err := Sources(Root, false, "scanner/version")
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]struct{ content, pattern string }{
		"charts/imagegate/Chart.yaml": {document(t, "charts/imagegate/Chart.yaml"), `(?m)^appVersion: "(.*)"$`},
		"scanner/version":             {scanner["scanner/version/version.go"], `const Number = "(.*)"`},
	} {
		if m := regexp.MustCompile(text.pattern).FindStringSubmatch(text.content); m == nil || m[1] != version.Number {
			t.Errorf("%s has %q, provider/version %q", where, m, version.Number)
		}
	}
}
