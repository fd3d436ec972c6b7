package registry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/report"
)

// maxQuote bounds what is said of an error, in bytes.
const maxQuote = 200

// quote returns the first line of an error's text. go-containerregistry puts
// whole answers into its errors, behind a first line of its own; a Pod's author
// chooses who is asked, and must not get to read an internal service by that.
func quote(err error) string {
	if te, ok := errors.AsType[*transport.Error](err); ok && len(te.Errors) == 0 {
		return fmt.Sprintf("status %d", te.StatusCode) // or it would be followed by the body
	}
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return report.Clean(strings.TrimRight(line, ": \r"), maxQuote)
}

// quoted is the quote of an error: the log is no place for others' answers
// either, nor is the memory of failures, in which a whole answer would lie.
type quoted string

func (q quoted) Error() string { return string(q) }

// failureSize is about what a brief failure takes beside its entry.
func failureSize(f *report.Failure) int {
	const fields = 150
	n := fields + len(f.Message)
	if f.Err != nil {
		n += len(f.Err.Error())
	}
	return n
}

// brief returns f with its cause quoted.
func brief(f *report.Failure) *report.Failure {
	out := *f
	if out.Err != nil {
		out.Err = quoted(quote(out.Err))
	}
	return &out
}
