package cli

import (
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/scanner/imagescan"
	"github.com/imagegate/imagegate/scanner/librarylog"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// childName is the hidden subcommand that scans one image.
const childName = "scan-one"

// childCommand is not for people: it reads its orders from stdin.
func childCommand() *cobra.Command {
	var warm bool
	cmd := &cobra.Command{
		Use:    childName,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			slog.SetDefault(childLogger(os.Stderr))
			librarylog.Use(slog.Default())
			scanner := new(imagescan.Scanner)
			if warm {
				scanner = imagescan.Warm(cmd.Context())
			}
			return sandbox.Serve(cmd.Context(), os.Stdin, os.Stdout, scanner.Scan)
		},
	}
	cmd.Flags().BoolVar(&warm, strings.TrimPrefix(sandbox.WarmUp, "--"), false, "prepare before the orders come")
	return cmd
}
