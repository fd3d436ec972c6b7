package templates_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"github.com/imagegate/imagegate/templates/regotest"
)

// TestRego runs the Rego unit tests and wants every line of the policies and
// libraries to be reached by them.
func TestRego(t *testing.T) {
	modules, err := regotest.Parse(load(t), ast.RegoV1)
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := regotest.Run(t.Context(), modules, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range outcome.Failures {
		t.Error(failure)
	}
	covered, all := 0, 0
	for file, report := range outcome.Coverage.Files {
		if regotest.IsTest(file) {
			continue
		}
		covered += report.CoveredLines
		all += report.CoveredLines + report.NotCoveredLines
		for _, missed := range report.NotCovered {
			t.Errorf("%s:%d-%d is not covered", file, missed.Start.Row, missed.End.Row)
		}
	}
	// Printed, not logged: it is shown without -v where this runs alone.
	fmt.Printf("rego: %d unit tests, coverage %d of %d lines (%.1f %%)\n",
		outcome.Passed, covered, all, 100*float64(covered)/float64(max(all, 1)))
}

// TestRegoStrict compiles the sources as opa check --strict does, as both
// versions of Rego: a template has one version, and users' rules choose it.
func TestRegoStrict(t *testing.T) {
	all := load(t)
	for file := range all {
		if regotest.IsTest(file) {
			delete(all, file)
		}
	}
	for _, version := range []ast.RegoVersion{ast.RegoV0, ast.RegoV1} {
		modules, err := regotest.Parse(all, version)
		if err != nil {
			t.Errorf("%v: %v", version, err)
			continue
		}
		compiler := regotest.Compiler(true).WithDefaultRegoVersion(version)
		if compiler.Compile(modules); compiler.Failed() {
			t.Errorf("%v: %v", version, compiler.Errors)
		}
	}
}

// TestRegoFormat is opa fmt.
func TestRegoFormat(t *testing.T) {
	for file, text := range load(t) {
		formatted, err := format.SourceWithOpts(file, []byte(text), format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if text != string(formatted) {
			t.Errorf("%s is not formatted: go run ./templates/gen formats it", file)
		}
	}
}

func load(t testing.TB) regotest.Sources {
	t.Helper()
	found, err := regotest.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(keys(found), regotest.IsTest) {
		t.Fatal("no Rego unit tests found")
	}
	return found
}

func keys[V any](m map[string]V) []string {
	found := make([]string, 0, len(m))
	for key := range m {
		found = append(found, key)
	}
	return found
}
