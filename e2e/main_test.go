package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/process"
	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// suite is what all tests of this package share. It is started once: tests
// keep apart by namespace, and none of them runs beside another, because some
// break parts that all depend on.
type suite struct {
	cluster  *cluster.Cluster
	registry *registry.Registry
	images   *registry.Builder
	system   *system.System
}

var shared suite //nolint:gochecknoglobals // TestMain has no other way to hand it on

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
	began := time.Now()
	defer shared.stop()
	if err := shared.start(ctx, dir); err != nil {
		return 1, errors.Join(err, fmt.Errorf("logs are in %s", dir))
	}
	fmt.Fprintf(os.Stderr, "start  %-24s %.1f s\n", "everything", time.Since(began).Seconds())
	code = m.Run()
	if err := shared.cluster.Dead(); err != nil {
		return 1, err
	}
	if code != 0 {
		return code, shared.printLogs(dir)
	}
	shared.stop()
	return 0, os.RemoveAll(dir)
}

func (s *suite) start(ctx context.Context, dir string) error {
	root, err := build.Root()
	if err != nil {
		return err
	}
	programs, err := build.Imagegate(ctx, root, os.Stderr)
	if err != nil {
		return err
	}
	binaries, err := build.Cluster(ctx, root, os.Stderr)
	if err != nil {
		return err
	}
	if s.cluster, err = cluster.Start(ctx, cluster.Options{
		Dir: filepath.Join(dir, "cluster"), Binaries: binaries, Progress: os.Stderr,
	}); err != nil {
		return err
	}
	if s.registry, err = registry.Start("imagegate", "a password"); err != nil {
		return err
	}
	s.images = registry.NewBuilder(root, filepath.Join(dir, "samples"))
	if s.system, err = system.Start(ctx, system.Options{
		Root: root, Dir: filepath.Join(dir, "system"), Programs: programs,
		Cluster: s.cluster, Registry: s.registry, Progress: os.Stderr,
	}); err != nil {
		return err
	}
	return s.applyPolicies(ctx)
}

func (s *suite) stop() {
	if s.system != nil {
		s.system.Stop()
		s.system = nil
	}
	if s.registry != nil {
		s.registry.Down()
		s.registry = nil
	}
	if s.cluster != nil {
		s.cluster.Stop()
		s.cluster = nil
	}
}

// printLogs prints what explains a failure in a place whose files are gone
// afterwards.
func (s *suite) printLogs(dir string) error {
	fmt.Fprintf(os.Stderr, "\nlogs are in %s; their ends:\n", dir)
	for _, file := range append(s.cluster.LogFiles(), s.system.LogFiles()...) {
		fmt.Fprintf(os.Stderr, "\n==> %s\n%s", file, process.Tail(file, 6<<10))
	}
	return nil
}

// A namespace chooses its policy with this label.
const policyLabel = "imagegate.dev/policy"

// The policies that namespaces choose from. Each is the repository's
// accepted-only constraint, matched to the namespaces that ask for it.
const (
	denyPolicy     = "deny"     // Pods are denied
	dryrunPolicy   = "dryrun"   // Pods are reported by audit
	expandedPolicy = "expanded" // workloads are judged when they are created
)

func (s *suite) applyPolicies(ctx context.Context) error {
	for _, p := range []struct{ name, action, source string }{
		{denyPolicy, "deny", "Original"},
		{dryrunPolicy, "dryrun", "Original"},
		{expandedPolicy, "deny", "All"},
	} {
		err := s.system.ApplyConstraint(ctx, "accepted-only", func(c *unstructured.Unstructured) error {
			c.SetName("accepted-only-" + p.name)
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
