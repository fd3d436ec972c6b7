package cli

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/scanner/imagescan"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// childName is the hidden subcommand that scans one image.
const childName = "scan-one"

// childCommand is not for people: it reads its orders from stdin.
func childCommand() *cobra.Command {
	return &cobra.Command{
		Use:    childName,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
			return sandbox.Serve(cmd.Context(), os.Stdin, os.Stdout, imagescan.Scan)
		},
	}
}
