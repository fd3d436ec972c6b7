package e2e_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/e2e/process"
	"github.com/imagegate/imagegate/e2e/stack"
)

// shared is what all tests of this package use, started once: tests keep apart
// by namespace, and none of them runs beside another, because some break parts
// that all depend on.
var shared *stack.Stack

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "imagegate-e2e-")
	if err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "logs are in %s\n", dir)
	if shared, err = stack.Start(ctx, stack.Options{Dir: dir, Progress: os.Stderr}); err != nil {
		return 1, err
	}
	defer shared.Stop()
	if err := applyPolicies(ctx); err != nil {
		printLogs()
		return 1, err
	}
	code = m.Run()
	if err := shared.Dead(); err != nil {
		printLogs()
		return 1, err
	}
	if code != 0 {
		printLogs()
		return code, nil
	}
	shared.Stop()
	return 0, os.RemoveAll(dir)
}

// printLogs prints what explains a failure in a place whose files are gone
// afterwards.
func printLogs() {
	fmt.Fprintf(os.Stderr, "\nlogs are in %s; their ends:\n", shared.Dir)
	for _, file := range shared.LogFiles() {
		fmt.Fprintf(os.Stderr, "\n==> %s\n%s", file, process.Tail(file, 6<<10))
	}
}

// A namespace chooses its policy with this label.
const policyLabel = "imagegate.dev/policy"

// The policies that namespaces choose from. Each is the repository's
// accepted-only constraint, matched to the namespaces that ask for it.
const (
	denyPolicy     = "deny"     // Pods are denied
	warnPolicy     = "warn"     // who creates Pods is warned
	dryrunPolicy   = "dryrun"   // Pods are reported by audit
	expandedPolicy = "expanded" // workloads are judged when they are created
)

func applyPolicies(ctx context.Context) error {
	for _, p := range []struct{ name, action, source string }{
		{denyPolicy, "deny", "Original"},
		{warnPolicy, "warn", "Original"},
		{dryrunPolicy, "dryrun", "Original"},
		{expandedPolicy, "deny", "All"},
	} {
		err := shared.System.ApplyConstraint(ctx, "accepted-only", func(c *unstructured.Unstructured) error {
			c.SetName(constraintOf(p.name))
			spec := c.Object["spec"].(map[string]any)
			spec["enforcementAction"] = p.action
			match := spec["match"].(map[string]any)
			match["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{policyLabel: p.name}}
			match["source"] = p.source
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
