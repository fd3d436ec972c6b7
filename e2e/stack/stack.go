// Package stack puts a cluster, a registry and imagegate together. It exists because
// the tests and the demo start the same three.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

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

// Options of a stack.
type Options struct {
	// Dir is for state and logs.
	Dir string
	// Progress gets a line for each thing built and started.
	Progress io.Writer
	// Meanwhile is called while the programs of the cluster are built, which can take
	// minutes: imagegate's own are there, and the registry. May be nil.
	Meanwhile func(context.Context, *Stack) error
	// Inventory is system.Options's.
	Inventory bool
}

// Start builds what is missing and starts everything. On an error nothing is left
// running.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	dir, progress := o.Dir, o.Progress
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
	if s.Registry, err = registry.Start("imagegate", "a password"); err != nil {
		return nil, err
	}
	s.Images = registry.NewBuilder(s.Root, filepath.Join(dir, "samples"))
	binaries, err := s.built(ctx, o)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if s.Cluster, err = cluster.Start(ctx, cluster.Options{
		Dir: filepath.Join(dir, "cluster"), Binaries: binaries, Progress: progress, Plugins: filepath.Dir(s.Programs.Plugin),
	}); err != nil {
		return nil, err
	}
	if s.System, err = system.Start(ctx, system.Options{
		Root: s.Root, Dir: filepath.Join(dir, "system"), Programs: s.Programs,
		Cluster: s.Cluster, Registry: s.Registry, Progress: progress, Inventory: o.Inventory,
	}); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(progress, "start  %-24s %.1f s\n", "all", time.Since(began).Seconds())
	return s, nil
}

// built returns the programs of the cluster, once they are built and Options.Meanwhile
// has returned.
func (s *Stack) built(ctx context.Context, o Options) (build.ControlPlane, error) {
	var binaries build.ControlPlane
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		binaries, err = build.Cluster(ctx, s.Root, o.Progress)
		return err
	})
	if o.Meanwhile != nil {
		both.Go(func() error { return o.Meanwhile(ctx, s) })
	}
	err := both.Wait() // binaries may be read only afterwards
	return binaries, err
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
