// Package exit carries a process's exit code from a command through its
// framework to main, for a code of 1 that means "denied" must not be mistaken
// for an error.
package exit

import (
	"errors"
	"fmt"
)

// Error ends the process with Code. Err is nil when the output has said it all.
type Error struct {
	Code int
	Err  error
}

// Error says what went wrong, or only the code.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Code returns the exit code for err and the error to print, which may be nil.
// An error that carries no code has the code otherwise.
func Code(err error, otherwise int) (int, error) {
	if err == nil {
		return 0, nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code, e.Err
	}
	return otherwise, err
}
