// Package failure is how a scan says why it could not finish. A kind is part
// of the worker's answers, so that the asker can tell a wrong password from a
// full disk without reading sentences.
package failure

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Code is the machine-readable kind of a failure. The values are wire format.
type Code string

const (
	// Unauthorized means: the registry refused the credentials, or wants some.
	Unauthorized Code = "unauthorized"
	// NotFound means: the registry has no such repository or manifest.
	NotFound Code = "not_found"
	// Unsupported means: the artifact is not an image that can be scanned.
	Unsupported Code = "unsupported"
	// Invalid means: the image contradicts itself: wrong digest or size, broken archive.
	Invalid Code = "invalid"
	// TooLarge means: a limit on size, number or memory was reached.
	TooLarge Code = "too_large"
	// Timeout means: the scan took longer than it may.
	Timeout Code = "timeout"
	// Registry means: the registry could not be reached or failed.
	Registry Code = "registry"
	// Database means: there is no usable vulnerability database.
	Database Code = "database"
	// Busy means: the queue is full.
	Busy Code = "busy"
	// Stopped means: the worker was told to stop before the scan ended.
	Stopped Code = "stopped"
	// BadRequest means: the request does not follow the protocol.
	BadRequest Code = "bad_request"
	// UnknownScan means: no scan has this identifier (any more).
	UnknownScan Code = "unknown_scan"
	// Internal means: a fault of the worker itself.
	Internal Code = "internal"
)

// Codes are all kinds there are.
func Codes() []Code {
	return []Code{
		Unauthorized, NotFound, Unsupported, Invalid, TooLarge, Timeout, Registry,
		Database, Busy, Stopped, BadRequest, UnknownScan, Internal,
	}
}

// maxMessage is how many bytes of a message are kept of what another process
// says. No sentence of ours is longer.
const maxMessage = 1 << 10

// Bounded is the failure as it may be kept and shown when it comes from a
// process that is not trusted: a code that nobody knows becomes Internal, and a
// message of more than a KiB is cut.
func (f *Failure) Bounded() *Failure {
	b := *f
	if !slices.Contains(Codes(), b.Code) {
		b.Code = Internal
	}
	b.Message = Cut(b.Message)
	return &b
}

// Cut bounds a text that may quote a stranger: to a KiB, on one line, of
// characters that can be shown.
func Cut(s string) string {
	cut := len(s) > maxMessage
	if cut {
		s = s[:maxMessage]
	}
	// The cut may have gone through a character.
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(s, ""))
	if cut {
		s += "..."
	}
	return s
}

// Failure is an error that may be shown to the asker: Message is one sentence
// without secrets. Err, when set, is the cause for the worker's own log.
type Failure struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Err     error  `json:"-"`
}

// New makes a failure from a format.
func New(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a failure with a cause. The cause's text is not shown.
func Wrap(code Code, err error, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

// Error is the message, followed by the cause when there is one.
func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Message
	}
	return f.Message + ": " + f.Err.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Of finds the failure in an error chain. An error that carries none is
// Internal, and its text stays in the log.
func Of(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return Wrap(Internal, err, "the scan failed inside the scanner worker, see its log")
}
