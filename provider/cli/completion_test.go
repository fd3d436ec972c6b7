package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/manualtest"
)

func TestCommandsAreDocumented(t *testing.T) {
	manualtest.Check(t, command(), filepath.Join("..", "COMMANDS.md"))
}

// A shell offers the words that there are, files where a file is meant, and nothing
// that would be wrong.
func TestCompletion(t *testing.T) {
	const nothing, files, dirs = ":4", ":8", ":16"
	for line, want := range map[string][]string{
		"scan --severity-threshold": {"Critical", "Negligible", nothing},
		"serve --role":              {"all", "api", "worker", nothing},
		"scan -o":                   {"table", "json", nothing},
		"review -o":                 {"text", "json", nothing},
		"queue list --output":       {"yaml", nothing},
		"scan --config":             {"yaml", files},
		"serve --data-dir":          {dirs},
		"serve --budget":            {nothing},
		"scan":                      {nothing},
		"":                          {"scan", "review", "version", nothing},
	} {
		var out, errs bytes.Buffer
		code := Main(append([]string{"__complete"}, append(strings.Fields(line), "")...), &out, &errs)
		for _, word := range want {
			if code != 0 || !strings.Contains(out.String(), word) {
				t.Errorf("%q: exit code %d, and %q is not in\n%s%s", line, code, word, &out, &errs)
			}
		}
	}
}
