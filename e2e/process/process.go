// Package process runs the programs of a test cluster as children that log to
// a file, can be paused and stopped, and never outlive the test.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Name string // of the log file and of messages
	Path string
	Args []string
	Env  []string // added to the parent's
	Dir  string   // working directory
	Logs string   // folder of the log file; a restart appends
}

// Process is a running child.
type Process struct {
	Name string
	Log  string // path of the log file

	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

// Start runs spec. The child does not end with ctx-bound requests: it runs
// until Stop or Kill, or until the parent dies.
func Start(spec Spec) (*Process, error) {
	if err := os.MkdirAll(spec.Logs, 0o750); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p := &Process{Name: spec.Name, Log: filepath.Join(spec.Logs, spec.Name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer func() { _ = out.Close() }()            // the child has its own descriptor
	p.cmd = exec.Command(spec.Path, spec.Args...) //nolint:noctx // lives until Stop
	p.cmd.Env = append(os.Environ(), spec.Env...)
	p.cmd.Dir = spec.Dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Exited is closed when the child has ended.
func (p *Process) Exited() <-chan struct{} { return p.done }

// Dead says that the child has ended, with the end of its log, or returns nil.
func (p *Process) Dead() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended:\n%s", p.Name, Tail(p.Log, 2048))
	default:
		return nil
	}
}

// Stop asks the child to end and kills it when it has not after grace. It reports
// whether that was not needed.
func (p *Process) Stop(grace time.Duration) (ended bool) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return true
	case <-time.After(grace):
		p.Kill()
		return false
	}
}

// Kill ends the child at once and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause stops the child without ending it: its sockets stay open and answer
// nothing, which is how a server that hangs looks from outside.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Interrupt is a person's Ctrl-C.
func (p *Process) Interrupt() error { return p.cmd.Process.Signal(os.Interrupt) }

// Resume undoes Pause.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Ready polls check until it succeeds, the child ends or ctx does. The error
// holds the end of the child's log.
func (p *Process) Ready(ctx context.Context, check func(context.Context) error) error {
	var last error
	for {
		if last = check(ctx); last == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %w\n%s", p.Name, errors.Join(p.err, last), Tail(p.Log, 4096))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.Name, errors.Join(ctx.Err(), last), Tail(p.Log, 4096))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Tail returns about the last n bytes of a file, from the start of a line.
func Tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	cut := max(info.Size()-n, 0)
	data, err := io.ReadAll(io.NewSectionReader(f, cut, n))
	if err != nil {
		return err.Error()
	}
	if _, rest, ok := bytes.Cut(data, []byte("\n")); ok && cut > 0 {
		data = rest
	}
	return string(data)
}
