package review

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runSuite runs suites and returns the output with its times made equal.
func runSuite(t *testing.T, o Options) (int, string) {
	t.Helper()
	code, stdout, _, err := run(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return code, regexp.MustCompile(`\d+\.\d+s`).ReplaceAllString(stdout, "0.000s")
}

func TestSuites(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		code int
		want string
	}{
		"a file":       {Options{Suite: "testdata/suites/suite.yaml"}, CodeAllowed, "ok\ttestdata/suites/suite.yaml\t0.000s\nPASS\n"},
		"a directory":  {Options{Suite: "testdata/suites"}, CodeAllowed, "ok\ttestdata/suites/suite.yaml\t0.000s\nPASS\n"},
		"and below it": {Options{Suite: "testdata/suites/..."}, CodeAllowed, "ok\ttestdata/suites/deeper/suite.yaml\t0.000s\nok\ttestdata/suites/suite.yaml\t0.000s\nPASS\n"},
		"verbose": {Options{Suite: "testdata/suites", Filter: "status//^accept", Verbose: true}, CodeAllowed, `=== RUN   status
    === RUN   accepted
    --- PASS: accepted	(0.000s)
    === SKIP  rejected
    === SKIP  no-reports
    === SKIP  provider-down
    === SKIP  yes
    === RUN   accepted-again
    --- PASS: accepted-again	(0.000s)
    === SKIP  workload
    === SKIP  admission-review
--- PASS: status	(0.000s)
=== SKIP  inventory
=== SKIP  invalid
ok	testdata/suites/suite.yaml	0.000s
PASS
`},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := runSuite(t, tt.o)
			if code != tt.code || got != tt.want {
				t.Errorf("exit code %d, output:\n%s\nwant:\n%s", code, got, tt.want)
			}
		})
	}
}

// brokenSuite writes a suite like the good one with a change.
func brokenSuite(t *testing.T, old, new string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "suites", "suite.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("the suite has no %q", old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSuitesThatFail(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"an assertion":   {"- violations: 1\n            message: image", "- violations: 2\n            message: image", "    --- FAIL: rejected\t(0.000s)\n        unexpected number of violations: got 1 violations containing \"image registry.example/bad:1 is rejected\" but want exactly 2: got messages [container app"},
		"no template":    {"template: ../templates/teststatus.yaml", "template: nowhere.yaml", "--- FAIL: status\t(0.000s)\n  reading ConstraintTemplate from"},
		"no object":      {"object: ../objects/pod-good.yaml", "object: nowhere.yaml", "--- FAIL: accepted\t(0.000s)\n        open"},
		"no reports":     {"reports: ../reports/reports.yaml", "reports: nowhere.yaml", "--- FAIL: accepted\t(0.000s)\n        reading reports"},
		"bad reports":    {"reports: ../reports/reports.yaml", "reports: suite.yaml", "--- FAIL: accepted\t(0.000s)\n        suite.yaml: neither a list of ScanReports"},
		"reports beyond": {"reports: ../reports/reports.yaml", "reports: " + strings.Repeat("../", 40) + "a", "field reports: the path leaves the file system"},
		"two objects":    {"object: ../objects/pod-good.yaml", "object: ../objects/workloads.yaml", "defines 3 objects"},
		"not invalid":    {"constraint: invalid.yaml", "constraint: ../constraints/status.yaml", "--- FAIL: invalid"},
		"no assertions":  {"reports: ../reports/reports.yaml\n        assertions:\n          - violations: no", "reports: ../reports/reports.yaml", "assertions must be non-empty"},
		"no expansion":   {"expansion: expansions.yaml", "expansion: nowhere.yaml", "--- FAIL: status\t(0.000s)\n  reading ExpansionTemplate"},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := runSuite(t, Options{Suite: brokenSuite(t, tt.old, tt.new)})
			if code != CodeDenied || !strings.Contains(got, tt.want) || !strings.HasSuffix(got, "FAIL\n") {
				t.Errorf("exit code %d, output:\n%s\nwant %q", code, got, tt.want)
			}
		})
	}
}

func TestSuitesThatCannotRun(t *testing.T) {
	empty := t.TempDir()
	for name, tt := range map[string]struct{ suite, want string }{
		"nowhere":          {"nowhere", "no such file"},
		"nothing there":    {empty, "no Suite in " + empty},
		"nothing below":    {empty + "/...", "no Suite below"},
		"no directory":     {"testdata/suites/suite.yaml/...", "is not a directory"},
		"a misspelling":    {brokenSuite(t, "reports: ../", "report: ../"), `test status: case 1: unknown field "report"`},
		"no cases":         {brokenSuite(t, "    cases:", "    case:"), `unknown field "tests[0].case"`},
		"no number":        {brokenSuite(t, "violations: 1", "violation: 1"), `test status: case 2: unknown field "assertions[0].violation"`},
		"no message":       {brokenSuite(t, "message: image", "mesage: image"), `test status: case 2: unknown field "assertions[0].mesage"`},
		"a list of files":  {brokenSuite(t, "reports: ../", "reports: [a] # ../"), `test status: case 1: reports: a list must be a text`},
		"an empty case":    {brokenSuite(t, "      - name: accepted\n", "      -\n      - name: accepted\n"), `test status: case 1 is empty`},
		"no string":        {brokenSuite(t, "reports: ../reports/reports.yaml", "reports: [a]"), "reports"},
		"an absolute path": {brokenSuite(t, "reports: ../reports/reports.yaml", "reports: /etc/passwd"), "give a path relative to the suite"},
		"not YAML":         {brokenSuite(t, "kind: Suite", "kind: [Suite"), "parsing yaml"},
		"not a suite":      {"testdata/objects/pod-good.yaml", "no Suite in"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, _, err := run(t, Options{Suite: tt.suite})
			if code != CodeError || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("exit code %d, error %v, want %q, output %s", code, err, tt.want, stdout)
			}
		})
	}
}

// gator passes when it ran nothing.
func TestAFilterThatMatchesNothingIsAMistake(t *testing.T) {
	for _, filter := range []string{"nosuch", "status//nosuch", "//nosuch"} {
		code, stdout, _, err := run(t, Options{Suite: "testdata/suites/suite.yaml", Filter: filter})
		if code != CodeError || err == nil || !strings.Contains(err.Error(), "matches no test or case of testdata/suites/suite.yaml") {
			t.Errorf("%s: exit code %d, error %v, output %s", filter, code, err, stdout)
		}
	}
}

func TestSuitePrintsWhatRulesPrint(t *testing.T) {
	suite := brokenSuite(t, "../templates/teststatus.yaml", "printing.yaml")
	b, err := os.ReadFile("testdata/templates/teststatus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	printing := strings.Replace(string(b), "not trusted(c.image)\n                status", "print(\"looking at\", c.name)\n                not trusted(c.image)\n                status", 1)
	if err := os.WriteFile(filepath.Join(filepath.Dir(suite), "printing.yaml"), []byte(printing), 0o600); err != nil {
		t.Fatal(err)
	}
	code, got := runSuite(t, Options{Suite: suite, Filter: "//^accepted$", Verbose: true})
	if code != CodeAllowed || !strings.Contains(got, "=== PRINT ===\n        looking at app\n") {
		t.Errorf("exit code %d, output:\n%s", code, got)
	}
}
