package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/imagegate/imagegate/scanner/worker"
)

// The exit codes. After setupCode it is of no use to start the same again: the
// provider, which starts the worker, goes by that.
const (
	failedCode      = 1
	setupCode       = 2
	interruptedCode = 130
	terminatedCode  = 143
)

// interruptedFor is how long a command may take to clean up after a signal. What is
// left then is cleared at the worker's next start.
const interruptedFor = time.Second

// Main runs the command line and returns the process's exit code. serve ends in order
// on SIGINT and SIGTERM, what else there is at once.
func Main(args []string, stdout, stderr io.Writer) int {
	root := New()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	var name string
	if cmd, _, err := root.Find(args); err == nil {
		name = cmd.Name()
	}
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	if name != childName { // whose parent ends it
		defer notify(ctx, stop)()
	}
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	err := wait(ctx, name == serveName, done)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "scanner:", err)
	return codeOf(err)
}

// signalled is the end by a signal.
type signalled struct {
	says string
	code int
}

func (s *signalled) Error() string { return s.says }

// notify ends a context with a signal. A second one ends the process at once.
func notify(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		select {
		case s := <-signals:
			if s == os.Interrupt {
				end(&signalled{"interrupted", interruptedCode})
			} else {
				end(&signalled{"terminated", terminatedCode})
			}
		case <-ctx.Done():
		}
	}()
	return func() { signal.Stop(signals) }
}

// wait returns how a command ended. Whatever it was doing, one that does not serve is
// over soon after ctx.
func wait(ctx context.Context, serves bool, done <-chan error) error {
	if serves {
		return <-done
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// What it says of its end is of the signal's making.
	select {
	case <-done: //nolint:errcheck // the cause is known
	case <-time.After(interruptedFor):
	}
	return context.Cause(ctx)
}

// running marks the errors of a worker that ran; all others are of the command line
// or what it names.
func running(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*worker.SetupError](err); ok {
		return err
	}
	return &ranError{err}
}

// ranError is one that may not come again.
type ranError struct{ error }

// Unwrap returns the cause.
func (e *ranError) Unwrap() error { return e.error }

func codeOf(err error) int {
	if s, ok := errors.AsType[*signalled](err); ok {
		return s.code
	}
	if _, ok := errors.AsType[*ranError](err); ok {
		return failedCode
	}
	return setupCode
}
