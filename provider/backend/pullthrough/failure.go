package pullthrough

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// wrong is the failure of an image that this registry serves wrongly or that
// contradicts itself. It lasts, and is none of the same digest elsewhere.
func (o *origin) wrong(format string, args ...any) *report.Failure {
	return &report.Failure{
		Reason:  report.ReasonUnsupported,
		Message: fmt.Sprintf("%s in registry %s cannot be scanned: ", report.Clean(o.repository, maxName), o.host) + fmt.Sprintf(format, args...),
	}
}

// otherBytes is the failure of content that is not what its digest names.
func (o *origin) otherBytes(what, digest string) *report.Failure {
	return o.wrong("the registry sent other bytes than the digest names (%s %s)", what, digest)
}

func (o *origin) tooLarge(format string, args ...any) *report.Failure {
	f := o.wrong(format, args...)
	f.Reason = report.ReasonTooLarge
	return f
}

// statusError is an answer other than the content asked for.
type statusError struct {
	code int
	// retryAfter is how long the registry asks to be left alone, or zero.
	retryAfter time.Duration
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.code) }

// trouble says why something could not be read of the registry.
func (o *origin) trouble(what string, err error) *report.Failure {
	if f, ok := errors.AsType[*report.Failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*transport.TokenHostError](err); ok {
		return &report.Failure{Reason: report.ReasonUnavailable, Message: fmt.Sprintf("registry %s cannot be read: %s", o.host, e), Err: err}
	}
	code, after := 0, time.Duration(0)
	if e, ok := errors.AsType[*statusError](err); ok {
		code, after = e.code, e.retryAfter
	} else if e, ok := errors.AsType[*remotetransport.Error](err); ok {
		code = e.StatusCode
	}
	f := &report.Failure{Reason: report.ReasonUnavailable, RetryAfter: after, Err: err}
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		f.Reason = report.ReasonUnauthorized
		f.Message = fmt.Sprintf("registry %s refused the credentials when it was asked for %s (no pull access)", o.host, what)
	case code == http.StatusNotFound:
		f.Reason = report.ReasonNotFound
		f.Message = fmt.Sprintf("registry %s does not have %s", o.host, what)
	case code != 0:
		f.Message = fmt.Sprintf("registry %s answered with status %d when it was asked for %s", o.host, code, what)
	case remote.Unconnected(err):
		f.Message = o.unreachable()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f.Message = fmt.Sprintf("registry %s has not sent %s in time", o.host, what)
	case errors.Is(err, errSlow):
		f.Message = fmt.Sprintf("registry %s sends %s too slowly", o.host, what)
	case errors.Is(err, io.ErrUnexpectedEOF):
		f.Message = fmt.Sprintf("registry %s broke off when it was sending %s", o.host, what)
	default:
		f.Message = o.unreachable()
	}
	return f
}

// unreachable is the sentence that the look-up of the image says too, whatever is
// in the way.
func (o *origin) unreachable() string {
	return fmt.Sprintf("registry %s cannot be reached; the provider's log says why", o.host)
}

// maxName bounds a repository in a message, in bytes.
const maxName = 255
