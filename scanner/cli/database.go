package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/scanner/advisories"
	"github.com/imagegate/imagegate/scanner/database"
	"github.com/imagegate/imagegate/scanner/librarylog"
	"github.com/imagegate/imagegate/scanner/worker"
)

func databaseCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "Look after the vulnerability database"}
	cmd.AddCommand(statusCommand(), importCommand(), buildSampleCommand())
	return cmd
}

// statusCommand prints what is installed, as JSON.
func statusCommand() *cobra.Command {
	cfg := offline()
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Check the installed vulnerability database and describe it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db := database.New(*cfg, slog.New(slog.DiscardHandler))
			if err := db.Inspect(); err != nil {
				return err
			}
			return describe(cmd, db)
		},
	}
	cmd.Flags().StringVar(&cfg.Dir, "db-dir", cfg.Dir, "directory of the vulnerability database")
	return cmd
}

func importCommand() *cobra.Command {
	cfg := offline()
	l := &logFlags{}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Install a vulnerability database from an archive or a .db file",
		Long: `Install a vulnerability database from a file: an archive as Grype distributes
it (https://grype.anchore.io/databases), or a bare .db file. By default it is installed
for the worker that the provider starts: below the provider's data folder if
$IMAGEGATE_DATA_DIR names it, else in the user's cache directory.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := l.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			librarylog.Use(log)
			cfg.Import = args[0]
			db := database.New(*cfg, log)
			err = db.Start()
			if errors.Is(err, database.ErrInUse) {
				return fmt.Errorf("%w: end the worker, or have it take the file in itself (--db-import; the provider's --scanner-database-file)", err)
			}
			if err != nil {
				return err
			}
			return errors.Join(describe(cmd, db), db.Close())
		},
	}
	cmd.Flags().StringVar(&cfg.Dir, "db-dir", cfg.Dir, "directory of the vulnerability database")
	l.add(cmd.Flags())
	return cmd
}

func buildSampleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build-sample DIR",
		Short: "Write the SAMPLE database, a handful of advisories for tests and demonstrations, to DIR/vulnerability.db",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := advisories.Load()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o750); err != nil {
				return fmt.Errorf("make the directory: %w", err)
			}
			path, err := database.BuildSample(args[0], all)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: SAMPLE database of %d advisories\n", path, len(all.Advisories))
			return err
		},
	}
}

// offline never downloads, and looks at databases of any age.
func offline() *database.Config {
	cfg := worker.Default().Database
	cfg.AutoUpdate = false
	cfg.MaxAge = 0
	cfg.Dir = filepath.Join(defaultCacheDir(), "db")
	return &cfg
}

func describe(cmd *cobra.Command, db *database.Database) error {
	st, _ := db.Status()
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"kind": st.Kind, "built_at": st.BuiltAt, "schema": st.Schema, "from": st.From})
}
