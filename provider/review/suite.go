package review

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator/verify"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"

	"github.com/imagegate/imagegate/provider/review/fixture"
	"github.com/imagegate/imagegate/provider/review/loopback"
)

// runSuites is `gator verify` with external data. It prints as gator does.
func runSuites(ctx context.Context, options Options, stdout io.Writer) (passed bool, err error) {
	filter, err := verify.NewFilter(options.Filter)
	if err != nil {
		return false, usageError("--run: " + err.Error())
	}
	root, suites, err := readSuites(options.Suite)
	if err != nil {
		return false, err
	}
	server, err := loopback.Start(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	id, err := newIdentity(server)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, id.close()) }()
	runner := &suiteRunner{root: root, filter: filter, server: server, identity: id}
	results := make([]verify.SuiteResult, len(suites))
	passed = true
	for i, s := range suites {
		results[i] = runner.run(ctx, s)
		passed = passed && !results[i].IsFailure()
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("running suites: %w", err)
	}
	if options.Filter != "" && !ran(suites, results, strings.Contains(options.Filter, "//")) {
		return false, usageError(fmt.Sprintf("--run: %q matches no test or case of %s", options.Filter, options.Suite))
	}
	var out bytes.Buffer
	if err := (verify.PrinterGo{}).Print(&out, results, options.Verbose); err != nil {
		return false, fmt.Errorf("printing the results: %w", err)
	}
	if _, err := stdout.Write(out.Bytes()); err != nil {
		return false, fmt.Errorf("writing the results: %w", err)
	}
	return passed, nil
}

// ran reports whether anything was looked at that a filter names: a case, or unless it
// names cases a test that has none.
func ran(suites []suite, results []verify.SuiteResult, cases bool) bool {
	for i, s := range suites {
		for j, test := range results[i].TestResults {
			if test.Skipped {
				continue
			}
			alone := len(s.Tests[j].Cases) == 0 || s.Tests[j].Invalid
			if test.Error != nil || alone && !cases ||
				slices.ContainsFunc(test.CaseResults, func(c verify.CaseResult) bool { return !c.Skipped }) {
				return true
			}
		}
	}
	return false
}

// suiteRunner runs suites through gator's own runner, one case at a time, so
// that each case can have its own reports.
type suiteRunner struct {
	root     fs.FS
	filter   verify.Filter
	server   *loopback.Server
	identity *identity
}

func (r *suiteRunner) run(ctx context.Context, s suite) verify.SuiteResult {
	start := time.Now()
	if s.Skip {
		return verify.SuiteResult{Path: s.InputPath, Skipped: true}
	}
	result := verify.SuiteResult{Path: s.InputPath, TestResults: make([]verify.TestResult, len(s.Tests))}
	for i := range s.Tests {
		t := &s.Tests[i]
		if t.Skip || !r.filter.MatchesTest(t) {
			result.TestResults[i] = verify.TestResult{Name: t.Name, Skipped: true}
			continue
		}
		result.TestResults[i] = r.runTest(ctx, s, i)
	}
	result.Runtime = verify.Duration(time.Since(start))
	return result
}

func (r *suiteRunner) runTest(ctx context.Context, s suite, test int) verify.TestResult {
	start := time.Now()
	t := &s.Tests[test]
	run, err := r.newTestRun(s, test)
	if err != nil {
		return verify.TestResult{Name: t.Name, Error: err, Runtime: verify.Duration(time.Since(start))}
	}
	defer run.source.forget()
	// The test without its cases is what is wrong with template and constraint.
	result := run.only(ctx, nil)
	for i, c := range t.Cases {
		if result.Error != nil || t.Invalid {
			break
		}
		if c.Skip || !r.filter.MatchesCase(t.Name, c.Name) {
			result.CaseResults = append(result.CaseResults, verify.CaseResult{Name: c.Name, Skipped: true})
			continue
		}
		result.CaseResults = append(result.CaseResults, run.runCase(ctx, i))
	}
	result.Runtime = verify.Duration(time.Since(start))
	return result
}

// testRun is one test of a suite under way.
type testRun struct {
	*suiteRunner
	suite  suite
	test   int
	source *dataSource
	gator  *verify.Runner
	// prints is what the rules of the case under way print.
	prints *gator.PrintBuffer

	// client is kept from case to case, which saves compiling the template
	// again, until something of a case stays behind in it.
	client gator.Client
}

func (r *suiteRunner) newTestRun(s suite, test int) (*testRun, error) {
	var docs []document
	for _, name := range []string{s.Tests[test].Template, s.Tests[test].Constraint} {
		docs = append(docs, r.readable(s, name)...)
	}
	source, err := newDataSource(providerPathsIn(docs), r.server, r.identity, defaultTimeout)
	if err != nil {
		return nil, err
	}
	run := &testRun{suiteRunner: r, suite: s, test: test, source: source}
	run.resetPrints()
	run.gator, err = verify.NewRunner(r.root, run.newClient)
	if err != nil {
		return nil, fmt.Errorf("making gator's runner: %w", err)
	}
	return run, nil
}

// readable is what a file of a suite holds, as far as it can be read: what is
// wrong with it is gator's to report.
func (r *suiteRunner) readable(s suite, name string) []document {
	b, err := fs.ReadFile(r.root, path.Join(path.Dir(s.AbsolutePath), name))
	if err != nil {
		return nil
	}
	docs, err := parseDocuments(name, b, true)
	if err != nil {
		return nil
	}
	return docs
}

func (r *testRun) newClient(...gator.Opt) (gator.Client, error) {
	if r.client != nil {
		return r.client, nil
	}
	client, err := newEvaluator(r.source, util.GatorEnforcementPoint,
		rego.PrintEnabled(true), rego.PrintHook(gator.NewPrintHook(r)))
	if err != nil {
		return nil, err
	}
	r.client = client
	return client, nil
}

func (r *testRun) resetPrints() { r.prints = gator.NewPrintBuffer(gator.DefaultPrintBufferLimit) }

// Write receives what rules print: the client outlives the buffer of a case.
func (r *testRun) Write(p []byte) (int, error) { return r.prints.Write(p) }

// only runs the test with these cases and no others.
func (r *testRun) only(ctx context.Context, cases []*verify.Case) verify.TestResult {
	t := r.suite.Tests[r.test]
	t.Cases = cases
	s := &verify.Suite{
		Tests:        []verify.Test{t},
		AbsolutePath: r.suite.AbsolutePath,
		InputPath:    r.suite.InputPath,
	}
	everything, err := verify.NewFilter("")
	if err != nil {
		return verify.TestResult{Name: t.Name, Error: err}
	}
	return r.gator.Run(ctx, everything, s).TestResults[0]
}

func (r *testRun) runCase(ctx context.Context, index int) verify.CaseResult {
	c := r.suite.Tests[r.test].Cases[index]
	handler, err := r.data(index)
	if err != nil {
		return verify.CaseResult{Name: c.Name, Error: err}
	}
	r.server.Answer(handler)
	r.resetPrints()
	result := r.only(ctx, []*verify.Case{c})
	if len(c.Inventory) > 0 {
		r.client = nil
	}
	if result.Error != nil || len(result.CaseResults) == 0 {
		return verify.CaseResult{Name: c.Name, Error: result.Error}
	}
	out := result.CaseResults[0]
	out.Print = r.prints.String()
	return out
}

// data answers from the reports file of a case; a case without one has no
// report for any image.
func (r *testRun) data(index int) (http.Handler, error) {
	file, err := r.suite.reportsFile(r.test, index)
	if err != nil {
		return nil, err
	}
	if file == "" {
		return (&fixture.Reports{}).Handler()
	}
	b, err := fs.ReadFile(r.root, file)
	if err != nil {
		return nil, fmt.Errorf("reading reports: %w", err)
	}
	reports, err := fixture.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.TrimPrefix(r.suite.reports[r.test][index], "./"), err)
	}
	return reports.Handler()
}
