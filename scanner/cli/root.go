// Package cli is the scanner worker's command line.
package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/scanner/version"
)

// New returns the root command.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:           "scanner",
		Short:         "Scans container images for known vulnerabilities, over Harbor's Pluggable Scanner API",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), healthCommand(), childCommand(), databaseCommand())
	version.Of(root.Name()).AddTo(root)
	return root
}

// logFlags are those of a command for which a person waits: what went wrong is
// logged, unless more is asked for.
type logFlags struct{ level, format string }

func (l *logFlags) add(f *pflag.FlagSet) {
	f.StringVar(&l.level, "log-level", "error", "debug, info, warn or error")
	f.StringVar(&l.format, "log-format", "text", "json or text")
}

func (l *logFlags) logger(w io.Writer) (*slog.Logger, error) { return newLogger(w, l.level, l.format) }
