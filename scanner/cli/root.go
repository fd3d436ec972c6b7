// Package cli is the scanner worker's command line.
package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/scanner/complete"
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
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd.Flags(), err) })
	root.AddCommand(serveCommand(), healthCommand(), childCommand(), databaseCommand())
	version.Of(root.Name()).AddTo(root)
	addCompletions(root)
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

// addCompletions completes the flags of cmd and what is below it.
func addCompletions(cmd *cobra.Command) {
	complete.Flags(cmd, complete.Values{
		Words: map[string][]string{"log-level": {"debug", "info", "warn", "error"}, "log-format": {"json", "text"}},
		Files: map[string][]string{"db-import": nil},
		Dirs:  []string{"cache-dir", "db-dir"},
	})
	for _, c := range cmd.Commands() {
		addCompletions(c)
	}
}
