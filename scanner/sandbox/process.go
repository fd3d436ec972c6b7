package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
)

// process is a child that runs and waits for its request.
type process struct {
	dir   string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *cappedBuffer
	logs  *logLines
	// ended is closed when it has ended, with err.
	ended chan struct{}
	err   error
}

// start makes a private directory and starts a child in it, with more arguments
// than the command's own. The directory is the caller's to remove.
func (r *Runner) start(args ...string) (*process, error) {
	dir, err := os.MkdirTemp(r.Scratch, "scan-")
	if err != nil {
		return nil, failure.Wrap(failure.Internal, err, "the scanner worker could not make a private directory for the scan")
	}
	p := &process{
		dir:   dir,
		out:   &cappedBuffer{limit: r.Limits.Output, full: make(chan struct{})},
		logs:  newLogLines(r.Log),
		ended: make(chan struct{}),
	}
	p.cmd = exec.Command(r.Command[0], append(r.Command[1:len(r.Command):len(r.Command)], args...)...) //nolint:noctx // killed by the watcher, as a group
	p.cmd.Dir = dir
	p.cmd.Env = r.environment(dir)
	p.cmd.Stdout = p.out
	p.cmd.Stderr = p.logs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// A grandchild that keeps the pipes open must not keep us waiting.
	p.cmd.WaitDelay = 2 * time.Second
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.run()
	}
	if err != nil {
		r.remove(dir)
		return nil, failure.Wrap(failure.Internal, err, "the scan process could not be started")
	}
	return p, nil
}

// run starts the child and waits for its end elsewhere. Pdeathsig fires when the
// thread that started the child ends, so that thread has to live as long.
func (p *process) run() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.ended)
		}
	}()
	return <-started
}

// ask gives the child its request.
func (p *process) ask(req Request) error {
	if err := json.NewEncoder(p.stdin).Encode(req); err != nil {
		return fmt.Errorf("write the scan request: %w", err)
	}
	return p.stdin.Close()
}
