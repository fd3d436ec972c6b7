// Package stack puts cluster, registry and imagegate together: the one thing
// that the tests and the demo both start.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// Stack is a running whole.
type Stack struct {
	Root     string // of the repository
	Dir      string // of state and logs
	Programs build.Programs
	Cluster  *cluster.Cluster
	Registry *registry.Registry
	Images   *registry.Builder
	System   *system.System
}

// Start builds what is missing and starts everything, with its state in dir.
// Progress gets a line for each thing built and started. On an error nothing
// is left running.
func Start(ctx context.Context, dir string, progress io.Writer) (_ *Stack, err error) {
	s := &Stack{Dir: dir}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if s.Root, err = build.Root(); err != nil {
		return nil, err
	}
	if s.Programs, err = build.Imagegate(ctx, s.Root, progress); err != nil {
		return nil, err
	}
	binaries, err := build.Cluster(ctx, s.Root, progress)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if s.Cluster, err = cluster.Start(ctx, cluster.Options{
		Dir: filepath.Join(dir, "cluster"), Binaries: binaries, Progress: progress,
	}); err != nil {
		return nil, err
	}
	if s.Registry, err = registry.Start("imagegate", "a password"); err != nil {
		return nil, err
	}
	s.Images = registry.NewBuilder(s.Root, filepath.Join(dir, "samples"))
	if s.System, err = system.Start(ctx, system.Options{
		Root: s.Root, Dir: filepath.Join(dir, "system"), Programs: s.Programs,
		Cluster: s.Cluster, Registry: s.Registry, Progress: progress,
	}); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(progress, "start  %-24s %.1f s\n", "all", time.Since(began).Seconds())
	return s, nil
}

// Stop ends everything. Files stay.
func (s *Stack) Stop() {
	if s.System != nil {
		s.System.Stop()
	}
	if s.Registry != nil {
		s.Registry.Down()
	}
	if s.Cluster != nil {
		s.Cluster.Stop()
	}
}

// Dead returns an error that names the processes that have ended though nobody
// stopped them, or nil.
func (s *Stack) Dead() error { return errors.Join(s.Cluster.Dead(), s.System.Dead()) }

// LogFiles returns the log file of each process.
func (s *Stack) LogFiles() []string {
	return append(s.Cluster.LogFiles(), s.System.LogFiles()...)
}
