// Package librarylog takes what Grype, Syft and Stereoscope warn of into the
// worker's log. They speak of progress all the time, which is left out; their
// warnings may be the only sign of a package that was not looked at or of a
// database that will not be updated much longer.
package librarylog

import (
	"fmt"
	"log/slog"

	logger "github.com/anchore/go-logger"
	"github.com/anchore/grype/grype"
	"github.com/anchore/stereoscope"
	"github.com/anchore/syft/syft"
)

// Use sends the warnings and errors of the libraries to log, for the whole
// process. It must be called before anything else uses them.
func Use(log *slog.Logger) {
	w := warnings{log: log}
	grype.SetLogger(w)
	syft.SetLogger(w)
	stereoscope.SetLogger(w)
}

type warnings struct{ log *slog.Logger }

var _ logger.Logger = warnings{}

func (w warnings) Errorf(format string, args ...any) { w.log.Error(fmt.Sprintf(format, args...)) }
func (w warnings) Error(args ...any)                 { w.log.Error(fmt.Sprint(args...)) }
func (w warnings) Warnf(format string, args ...any)  { w.log.Warn(fmt.Sprintf(format, args...)) }
func (w warnings) Warn(args ...any)                  { w.log.Warn(fmt.Sprint(args...)) }
func (warnings) Infof(string, ...any)                {}
func (warnings) Info(...any)                         {}
func (warnings) Debugf(string, ...any)               {}
func (warnings) Debug(...any)                        {}
func (warnings) Tracef(string, ...any)               {}
func (warnings) Trace(...any)                        {}

// WithFields returns a logger that adds fields, given in pairs or as
// logger.Fields, to every record.
func (w warnings) WithFields(fields ...any) logger.MessageLogger { return w.with(fields) }

// Nested does the same.
func (w warnings) Nested(fields ...any) logger.Logger { return w.with(fields) }

func (w warnings) with(fields []any) warnings {
	if len(fields) == 1 {
		if named, ok := fields[0].(logger.Fields); ok {
			fields = nil
			for k, v := range named {
				fields = append(fields, k, v)
			}
		}
	}
	return warnings{log: w.log.With(fields...)}
}
