package bundled

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Worker is a running child process that is started again whenever it dies.
type Worker struct {
	options Options
	path    string
	// listener is the socket of the worker's API. The provider holds it and the
	// worker inherits it: no other process can take the port, neither before
	// the worker starts nor while it is started again, and answer as if it were
	// the worker.
	listener net.Listener
	socket   *os.File
	client   *http.Client

	stop     context.CancelFunc
	stopping context.Context
	done     chan struct{}

	mu      sync.Mutex
	process *os.Process
	// alive is over when the process is, with how it ended as its cause.
	alive context.Context
	over  context.CancelCauseFunc
	// kill is set when stopping took too long.
	kill bool
	// last is how the worker ended last, nil before it ever did.
	last error
}

// settled is how long a worker has to live for its next restart to be quick
// again.
const settled = time.Minute

// Start finds the worker's binary and starts it. It does not wait for the
// worker: see WaitReady. ctx bounds the start only; Close ends the worker.
func Start(ctx context.Context, o Options) (*Worker, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	path, err := o.binary()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the bundled scanner's cache directory (scanner.bundled.cacheDir): %w", err)
	}
	listener, socket, err := listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("listening for the bundled scanner: %w", err)
	}
	w := &Worker{
		options:  o,
		path:     path,
		listener: listener,
		socket:   socket,
		// Loopback never goes through a proxy.
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second},
		done:   make(chan struct{}),
	}
	w.stopping, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	started := make(chan error, 1)
	go w.supervise(started)
	if err := <-started; err != nil {
		w.stop()
		<-w.done
		w.release()
		return nil, fmt.Errorf("starting the bundled scanner: %w; %s", err, advice)
	}
	return w, nil
}

// listen opens a socket on a loopback port and returns it once more as the file
// that a child inherits.
func listen(ctx context.Context) (net.Listener, *os.File, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, nil, errors.Join(fmt.Errorf("%T is no TCP listener", l), l.Close())
	}
	socket, err := tcp.File()
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, socket, nil
}

// release closes the worker's socket, after its end.
func (w *Worker) release() {
	_ = w.listener.Close()
	_ = w.socket.Close()
}

// URL is the base URL of the worker's API. It stays the same over restarts.
func (w *Worker) URL() string { return "http://" + w.listener.Addr().String() }

// supervise runs the worker until it is told to stop, and reports on started
// how the first attempt to start it went.
func (w *Worker) supervise(started chan<- error) {
	defer close(w.done)
	// The kernel delivers the parent-death signal when the thread that started
	// the child ends, so that thread is kept for as long as the child lives.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = w.options.RestartInitial, w.options.RestartMax
	wait.Reset()
	report := func(err error) {
		if started != nil {
			started <- err
			started = nil
		}
	}
	for {
		began := time.Now()
		err := w.run(report)
		if started != nil {
			report(err)
			return
		}
		if w.stopping.Err() != nil {
			return
		}
		w.note(err)
		if w.options.Once && isSetup(err) {
			return
		}
		if time.Since(began) > settled {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		w.options.Logger.Error("the bundled scanner ended and is started again", "error", err, "after", pause)
		if !w.pause(pause) {
			return
		}
	}
}

func (w *Worker) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.stopping.Done():
		return false
	}
}

// run starts the worker once and returns when it has ended.
func (w *Worker) run(started func(error)) error {
	// Not CommandContext: stopping is a signal first, see Close.
	cmd := exec.Command(w.path, w.options.args()...) //nolint:noctx // a context would kill at once, without asking first
	cmd.SysProcAttr = sysProcAttr()
	cmd.ExtraFiles = []*os.File{w.socket} // inherited is its number in the child
	lines := newLines(w.options.Logger, w.options.Once)
	cmd.Stdout, cmd.Stderr = lines, lines
	// A grandchild that holds the output open must not hold up the restart.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	w.options.Logger.Info("bundled scanner started", "path", w.path, "pid", cmd.Process.Pid, "url", w.URL())
	w.began(cmd.Process)
	started(nil)
	err := cmd.Wait()
	lines.flush()
	err = endOf(err, lines.last())
	w.ended(err)
	return err
}

// setupCode is the worker's exit code for what starting it again does not cure.
const setupCode = 2

// setupError is such an end.
type setupError struct{ error }

func isSetup(err error) bool {
	_, ok := errors.AsType[*setupError](err)
	return ok
}

// endOf is how the worker ended, with its last words.
func endOf(err error, said string) error {
	if err == nil {
		return errors.New("it exited by itself")
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == setupCode && said != "" {
		return &setupError{errors.New(said)}
	}
	if said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// began records the child and passes on what Close asked for before there was
// one to ask.
func (w *Worker) began(p *os.Process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.process = p
	w.alive, w.over = context.WithCancelCause(context.Background())
	if w.stopping.Err() != nil {
		_ = terminate(p, w.kill)
	}
}

// ended records how the child ended.
func (w *Worker) ended(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.process, w.last = nil, err
	w.over(err)
}

func (w *Worker) signal(kill bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kill = kill
	if w.process != nil {
		_ = terminate(w.process, kill)
	}
}

func (w *Worker) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = err
}

// Close asks the worker to end and kills it when it has not after StopTimeout
// or at the end of ctx. It returns once the child is gone.
func (w *Worker) Close(ctx context.Context) error {
	defer w.release()
	w.stop()
	w.signal(false)
	t := time.NewTimer(w.options.StopTimeout)
	defer t.Stop()
	select {
	case <-w.done:
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	w.signal(true)
	<-w.done
	return errors.New("the bundled scanner did not end in time and was killed")
}

// Ready asks the worker whether it can scan.
func (w *Worker) Ready(ctx context.Context) error {
	status, said, err := w.get(ctx, "/readyz")
	switch {
	case err != nil:
		return err
	case status == http.StatusOK:
		return nil
	}
	return &notReadyError{strings.TrimSpace(string(said))}
}

// get asks the process, as long as it runs.
func (w *Worker) get(ctx context.Context, path string) (status int, said []byte, err error) {
	alive, err := w.running()
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL()+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the bundled scanner: %w", err)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("the bundled scanner does not answer: %w", errors.Join(err, w.before()))
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 4096
	said, _ = io.ReadAll(io.LimitReader(resp.Body, most))
	return resp.StatusCode, said, nil
}

// notReadyError is what the worker said in place of that it is ready.
type notReadyError struct{ said string }

func (e *notReadyError) Error() string { return "the bundled scanner is not ready: " + e.said }

// running returns a context that lasts as long as the process, or why there is
// none. Without one the socket would take a question and nobody would answer.
func (w *Worker) running() (context.Context, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process == nil {
		if w.options.Once && isSetup(w.last) {
			return nil, w.last
		}
		return nil, notRunning(w.last)
	}
	return w.alive, nil
}

// notRunning says how the process ended.
func notRunning(last error) error {
	return fmt.Errorf("the bundled scanner is not running: it has ended and is started again in a while: %w", last)
}

func (w *Worker) before() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return nil
	}
	return fmt.Errorf("it ended before: %w", w.last)
}

// WaitReady returns when the worker can scan, or with the reason why it cannot: it has
// been given up, there is no database to be had, or nothing went on for ReadyTimeout.
// A download may take as long as it goes on; tell is told how it does.
func (w *Worker) WaitReady(ctx context.Context, tell func(string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &databaseWait{worker: w, tell: tell, stalled: time.AfterFunc(w.options.ReadyTimeout, func() { cancel(errStalled) }), patience: w.options.ReadyTimeout}
	defer d.stalled.Stop()
	return waitReady(ctx, d.ready, w.done)
}

// waitReady asks until ready is nil, or returns what was in the way when ctx or
// done is over.
func waitReady(ctx context.Context, ready func(context.Context) error, done <-chan struct{}) error {
	const between = 100 * time.Millisecond
	tick := time.NewTicker(between)
	defer tick.Stop()
	var last error
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if final, ok := errors.AsType[*finalError](err); ok {
			return final.error
		}
		// What ctx broke off says nothing about the worker.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		case <-done:
			if err := ready(ctx); err != nil {
				return err
			}
			return errors.New("the bundled scanner was stopped")
		}
	}
}

// Workers is how many scans the worker runs at once, which may be less than it
// was asked for.
func (w *Worker) Workers() int { return w.options.Workers }
