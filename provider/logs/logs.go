// Package logs makes the loggers of the provider and the mutator, whose lines are
// read together: the same thing has one form in both.
package logs

import (
	"io"
	"log/slog"
	"strings"
)

// New returns a logger that writes to w in a format, json or text. Durations are
// written as Go writes them, 1.5s: a bare number would leave open what it counts.
// What others wrote is cut to what a line takes.
func New(w io.Writer, level slog.Level, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Value.Kind() {
		case slog.KindDuration:
			a.Value = slog.StringValue(a.Value.Duration().String())
		case slog.KindString:
			a.Value = slog.StringValue(cut(a.Value.String()))
		case slog.KindAny:
			if err, ok := a.Value.Any().(error); ok {
				a.Value = slog.StringValue(cut(err.Error()))
			}
		default: // numbers and times are short
		}
		return a
	}}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func cut(s string) string {
	const most = 32 << 10 // a stack trace fits
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
