// Package interrupt tells a person's Ctrl-C from a cluster's wish that a process ends.
// A cluster goes on asking for a while, and is answered until it has heard; a person
// who presses Ctrl-C waits for the prompt.
package interrupt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The exit codes of a command that a signal ended, as shells have them.
const (
	Code           = 130
	terminatedCode = 143
)

// Err is the cause of a context that ended by Ctrl-C.
var Err = errors.New("interrupted")

// errTerminated is that of one that ended by SIGTERM.
var errTerminated = errors.New("terminated")

// Notify returns a context that ends with SIGINT or SIGTERM. A second signal ends the
// process at once. stop gives the signals back.
func Notify(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		select {
		case s := <-signals:
			if s == os.Interrupt {
				cancel(Err)
			} else {
				cancel(errTerminated)
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// grace is how long a command may take to clean up after a signal. What is left then is
// cleared at the next start.
const grace = time.Second

// Run runs a command that serves nobody. Whatever it is doing, Run is over soon after
// ctx: it goes on as long as the process does then.
func Run(ctx context.Context, command func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- command(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return nil
	}
}

// ByPerson reports whether ctx ended by Ctrl-C.
func ByPerson(ctx context.Context) bool { return errors.Is(context.Cause(ctx), Err) }

// ExitCode is that of a command whose context a signal ended.
func ExitCode(ctx context.Context) int {
	if ByPerson(ctx) {
		return Code
	}
	return terminatedCode
}
