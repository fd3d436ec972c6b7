package system

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/imagegate/imagegate/e2e/process"
)

// startTimeout bounds the wait until a part is ready.
const startTimeout = time.Minute

// Part is one of imagegate's programs. Its methods must not be called at the
// same time: tests that break a part do so one after another.
type Part struct {
	URL string // base URL that it serves

	spec process.Spec
	proc *process.Process
}

func (s *System) part(name, path, url string, args ...string) *Part {
	return &Part{URL: url, spec: process.Spec{
		Name: name, Path: path, Args: args,
		Dir:  s.opts.Dir,
		Logs: filepath.Join(s.opts.Dir, "logs"),
	}}
}

// Start runs the part, with args after its usual ones, and waits until it says
// that it is ready.
func (p *Part) Start(ctx context.Context, args ...string) error {
	if err := p.launch(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return p.proc.Ready(ctx, process.Healthy(p.URL+"/readyz"))
}

func (p *Part) launch(args []string) (err error) {
	if p.proc != nil {
		return fmt.Errorf("start %s: it is running already", p.spec.Name)
	}
	spec := p.spec
	spec.Args = append(append([]string{}, spec.Args...), args...)
	p.proc, err = process.Start(spec)
	return err
}

// Stop ends the part as a rollout would. A part that is not running stays so.
func (p *Part) Stop() {
	if p.proc == nil {
		return
	}
	// A paused process would not see that it is to end.
	_ = p.proc.Resume()
	p.proc.Stop(5 * time.Second)
	p.proc = nil
}

// Pause makes the part hang: connections are taken and never answered.
func (p *Part) Pause() error { return p.proc.Pause() }

// Resume undoes Pause.
func (p *Part) Resume() error { return p.proc.Resume() }
