package installed_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/process"
)

// shared is the cluster, empty but for what tests put there and take away.
var shared struct {
	root, dir string
	provider  string
	cluster   *cluster.Cluster
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "installed:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (_ int, err error) {
	ctx := context.Background()
	s := &shared
	if s.dir, err = os.MkdirTemp("", "imagegate-installed-"); err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "logs are in %s\n", s.dir)
	if s.root, err = build.Root(); err != nil {
		return 1, err
	}
	if s.provider, err = build.Provider(ctx, s.root, os.Stderr); err != nil {
		return 1, err
	}
	binaries, err := build.Cluster(ctx, s.root, os.Stderr)
	if err != nil {
		return 1, err
	}
	if s.cluster, err = cluster.Start(ctx, cluster.Options{
		Dir: filepath.Join(s.dir, "cluster"), Binaries: binaries, Progress: os.Stderr, WithoutGatekeeper: true,
		// A busy machine is slow; what is tested here is who is trusted.
		Gatekeeper: cluster.Gatekeeper{ValidationTimeout: 15 * time.Second, MutationTimeout: 15 * time.Second},
	}); err != nil {
		return 1, err
	}
	defer s.cluster.Stop()
	code := m.Run()
	if err := s.cluster.Dead(); err != nil || code != 0 {
		for _, file := range s.cluster.LogFiles() {
			fmt.Fprintf(os.Stderr, "\n==> %s\n%s", file, process.Tail(file, 4<<10))
		}
		return 1, err
	}
	return 0, os.RemoveAll(s.dir)
}
