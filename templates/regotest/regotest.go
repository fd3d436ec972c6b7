// Package regotest runs the Rego unit tests of the policies with what Gatekeeper
// adds to OPA: the external_data builtin. The unit tests replace it; nothing is
// sent anywhere. The mutation check runs the same tests on altered sources.
package regotest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/types"
)

// testTimeout bounds a single unit test. It is far beyond what one takes: a test
// that fails for lack of time would look like one that noticed a change.
const testTimeout = 5 * time.Minute

// Sources are Rego files by their path below the templates folder.
type Sources map[string]string

// Load reads the libraries, the policies and their unit tests.
func Load(folder string) (Sources, error) {
	loaded := Sources{}
	for _, pattern := range []string{"*/*.rego"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading Rego: %w", err)
			}
			name, err := filepath.Rel(folder, file)
			if err != nil {
				return nil, fmt.Errorf("naming %s: %w", file, err)
			}
			loaded[filepath.ToSlash(name)] = string(text)
		}
	}
	return loaded, nil
}

// IsTest tells a file of unit tests and their fixtures from a policy's own.
func IsTest(file string) bool { return strings.HasSuffix(file, "_test.rego") }

// Parse parses the sources in one version of Rego.
func Parse(from Sources, version ast.RegoVersion) (map[string]*ast.Module, error) {
	modules := make(map[string]*ast.Module, len(from))
	for file, text := range from {
		module, err := ast.ParseModuleWithOpts(file, text, ast.ParserOptions{RegoVersion: version})
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", file, err)
		}
		modules[file] = module
	}
	return modules, nil
}

// Compiler returns a compiler that knows external_data.
func Compiler(strict bool) *ast.Compiler {
	capabilities := ast.CapabilitiesForThisVersion()
	capabilities.Builtins = append(capabilities.Builtins, externalData)
	return ast.NewCompiler().WithCapabilities(capabilities).WithStrict(strict).WithEnablePrintStatements(true)
}

var externalData = &ast.Builtin{
	Name: "external_data",
	Decl: types.NewFunction(types.Args(types.A), types.A),
}

// Outcome is what a run of all unit tests gave.
type Outcome struct {
	Passed   int
	Failures []string
	Coverage cover.Report
}

// Run runs every unit test of the modules. Coverage is left empty unless asked
// for, as it slows the run down.
func Run(ctx context.Context, modules map[string]*ast.Module, coverage bool) (Outcome, error) {
	var outcome Outcome
	var tracer *cover.Cover
	if coverage {
		tracer = cover.New()
	}
	results, err := start(ctx, modules, tracer, "")
	if err != nil {
		return outcome, err
	}
	for result := range results {
		if result.Pass() {
			outcome.Passed++
			continue
		}
		outcome.Failures = append(outcome.Failures, fmt.Sprintf("%s: %s.%s %v %s",
			result.Location, result.Package, result.Name, result.Error, result.Output))
	}
	if coverage {
		outcome.Coverage = tracer.Report(modules)
	}
	return outcome, nil
}

// start runs the unit tests whose names match filter. The builtin is given to the compiler and the run
// rather than to OPA's global table.
func start(ctx context.Context, modules map[string]*ast.Module, tracer *cover.Cover, filter string) (chan *tester.Result, error) {
	runner := tester.NewRunner().
		SetCompiler(Compiler(false)).
		SetDefaultRegoVersion(ast.RegoV1).
		SetTimeout(testTimeout).
		CapturePrintOutput(true).
		AddCustomBuiltins([]*tester.Builtin{{Decl: externalData, Func: rego.Function1(
			&rego.Function{Name: externalData.Name, Decl: externalData.Decl},
			func(rego.BuiltinContext, *ast.Term) (*ast.Term, error) {
				return nil, errors.New("a unit test called external_data without replacing it")
			},
		)}})
	if filter != "" {
		runner = runner.Filter(filter)
	}
	if tracer != nil {
		runner = runner.SetCoverageQueryTracer(tracer)
	}
	results, err := runner.SetModules(modules).RunTests(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("compiling the unit tests: %w", err)
	}
	return results, nil
}
