package report

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Reason classes a failure. The set is closed: it labels metrics, and it
// decides whether trying again can help.
type Reason string

const (
	// ReasonUnauthorized means: the registry refused the credentials in use.
	ReasonUnauthorized Reason = "unauthorized"
	// ReasonNotFound means: there is no such image.
	ReasonNotFound Reason = "not_found"
	// ReasonUnsupported means: not a container image, or none of the platforms asked for.
	ReasonUnsupported Reason = "unsupported"
	// ReasonTooLarge means: the image is over one of the scanner's limits.
	ReasonTooLarge Reason = "too_large"
	// ReasonTimeout means: the work did not end within its deadline.
	ReasonTimeout Reason = "timeout"
	// ReasonUnavailable means: a registry or scanner cannot be reached, is overloaded,
	// or answers with a server error. The only reason worth an early retry.
	ReasonUnavailable Reason = "unavailable"
	// ReasonDatabase means: the scanner has no usable vulnerability database.
	ReasonDatabase Reason = "database"
	// ReasonIncomplete means: there is a report, and it does not show that
	// somebody looked at the image.
	ReasonIncomplete Reason = "incomplete"
	// ReasonCrash means: each process that began the work ended before it.
	ReasonCrash Reason = "crash"
	// ReasonInternal means: anything else.
	ReasonInternal Reason = "internal"
)

// Failure is the error by which registries and scanners say why an image has
// no report. Message is one sentence for a Pod's author; Err is the cause for
// the log and may be nil.
type Failure struct {
	Reason  Reason
	Message string
	// RetryAfter is how long the other side asked to be left alone, or zero.
	RetryAfter time.Duration
	Err        error
}

// Error returns the sentence for the Pod's author.
func (f *Failure) Error() string { return f.Message }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Transient reports whether the same attempt may succeed soon although nothing
// about the image changes.
func (f *Failure) Transient() bool {
	return f.Reason == ReasonUnavailable || f.Reason == ReasonDatabase
}

// Lasting reports whether only another image, or another scanner, makes a
// difference: no such image, one that is broken or too large, one that the
// scanner says nothing useful about. Any other failure may be over at any time,
// and what remembers it must not outlive its cause.
func (f *Failure) Lasting() bool { return f.OfImage() || f.Reason == ReasonNotFound }

// OfImage reports whether the failure can only be the image's, so that it says
// the same to whoever asks for the image. Of any other reason the credentials in
// use may be the cause: a registry hides what they do not open, answers slowly
// or not at all.
func (f *Failure) OfImage() bool {
	switch f.Reason {
	case ReasonUnsupported, ReasonTooLarge, ReasonIncomplete, ReasonCrash:
		return true
	default:
		return false
	}
}

// FailureOf returns err as a Failure whose message is cut and clean and whose
// cause is short: both may quote what a registry or scanner sent, and are kept,
// logged and answered. Every port's errors pass it. An error that is no Failure
// becomes an internal one with the same text.
func FailureOf(err error) *Failure {
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		f = &Failure{Reason: ReasonInternal, Message: err.Error(), Err: err}
	}
	out := *f
	out.Message = CleanMessage(f.Message)
	if f.Err != nil {
		// A long cause goes with all that it holds on to; its text is for the log.
		if text := f.Err.Error(); len(text) > maxCause {
			out.Err = errors.New(Clean(text, maxCause))
		}
	}
	return &out
}

// maxCause bounds the text of a failure's cause.
const maxCause = 4096

// Crashed returns the failure of work that panicked with p. Work that runs in a
// goroutine of its own recovers with it, since nobody above could: what one
// image's registry or scanner sends must not end the process for all others.
func Crashed(p any) *Failure {
	return &Failure{
		Reason:  ReasonInternal,
		Message: "internal error of the provider; its log has the details",
		Err:     fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
	}
}

// Recover is deferred by work that returns an error, and makes a panic that
// error: defer report.Recover(&err).
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = Crashed(p)
	}
}
