// Package cli is the scanner worker's command line.
package cli

import "github.com/spf13/cobra"

// New returns the root command.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:           "scanner",
		Short:         "Scans container images for known vulnerabilities, over Harbor's Pluggable Scanner API",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), healthCommand(), childCommand(), databaseCommand())
	return root
}
