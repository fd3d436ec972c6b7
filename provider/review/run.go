package review

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Exit codes of the command.
const (
	CodeAllowed = 0
	CodeDenied  = 1
	CodeError   = 2
)

// Run judges the objects or runs the suites that options name. Results go to
// stdout, remarks on what was left out to stderr. The error is that of exit
// code 2; a denial or a failed suite is exit code 1 and no error.
func Run(ctx context.Context, options Options, stdout, stderr io.Writer) (exitCode int, err error) {
	if options.Output == "" {
		options.Output = outputText
	}
	if err := options.check(); err != nil {
		return CodeError, err
	}
	if options.Suite != "" {
		passed, err := runSuites(ctx, options, stdout)
		switch {
		case err != nil:
			return CodeError, err
		case !passed:
			return CodeDenied, nil
		}
		return CodeAllowed, nil
	}
	results, err := judge(ctx, options, stderr)
	if err != nil {
		return CodeError, err
	}
	write := writeText
	if options.Output == outputJSON {
		write = writeJSON
	}
	if err := write(stdout, results); err != nil {
		return CodeError, err
	}
	for _, r := range results {
		if !r.Allowed {
			return CodeDenied, nil
		}
	}
	return CodeAllowed, nil
}

func judge(ctx context.Context, options Options, stderr io.Writer) (results []Result, err error) {
	policies, err := LoadPolicies(options.Templates, options.Constraints)
	if err != nil {
		return nil, err
	}
	cluster, err := LoadCluster(options.NamespaceObjects, options.Inventory)
	if err != nil {
		return nil, err
	}
	objects, err := options.objects(cluster)
	if err != nil {
		return nil, err
	}
	data, err := options.data(ctx)
	if err != nil {
		return nil, err
	}
	defer data.end()
	engine, err := New(ctx, Config{
		Policies:         policies,
		Cluster:          cluster,
		Data:             data.handler,
		Timeout:          data.timeout,
		EnforcementPoint: options.EnforcementPoint,
		Explain:          options.Explain,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	remarks := policies.Notes()
	for _, o := range objects {
		r, err := engine.Review(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.source, err)
		}
		if err := data.failed(); err != nil {
			return nil, err
		}
		remarks = append(remarks, remarksOn(o, r)...)
		results = append(results, r)
	}
	printRemarks(stderr, remarks)
	return results, nil
}

func (o Options) objects(c Cluster) ([]Object, error) {
	defaults := o.defaults(c)
	var out []Object
	for _, path := range o.Files {
		objects, err := ReadObjects(path, o.Stdin, defaults)
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, nil
}

// remarksOn says what the result alone would hide: that nothing looked at the
// Pods of a workload, or that the provider failed.
func remarksOn(o Object, r Result) []string {
	var out []string
	if !r.expanded && isWorkload(o) {
		out = append(out, fmt.Sprintf("%s %s: no ExpansionTemplate among the files applies to it, so its Pods were not judged; Gatekeeper judges them when they are created", o.kind(), o.name()))
	}
	for _, x := range r.exchanges {
		if x.SystemError != "" {
			out = append(out, fmt.Sprintf("%s %s: the provider could not answer: %s", o.kind(), o.name(), x.SystemError))
		}
	}
	return out
}

// printRemarks writes each remark once. A closed stderr is no reason to stop.
func printRemarks(stderr io.Writer, remarks []string) {
	printed := map[string]bool{}
	for _, r := range remarks {
		if !printed[r] {
			printed[r] = true
			_, _ = fmt.Fprintln(stderr, "note:", r)
		}
	}
}

// isWorkload recognises a Pod template where Kubernetes' own kinds have it.
func isWorkload(o Object) bool {
	spec, ok := o.content.Object["spec"].(map[string]any)
	if !ok {
		return false
	}
	if job, ok := spec["jobTemplate"].(map[string]any); ok {
		spec, _ = job["spec"].(map[string]any)
	}
	template, ok := spec["template"].(map[string]any)
	if !ok {
		return false
	}
	pod, ok := template["spec"].(map[string]any)
	if !ok {
		return false
	}
	_, ok = pod["containers"]
	return ok
}
