package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/scanner/database"
	"github.com/imagegate/imagegate/scanner/librarylog"
	"github.com/imagegate/imagegate/scanner/worker"
)

// serveName is the command that ends in order when it is told to.
const serveName = "serve"

func serveCommand() *cobra.Command {
	cfg := worker.Default()
	var level, format string
	cmd := &cobra.Command{
		Use:   serveName,
		Short: "Run the scanner worker",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd.ErrOrStderr(), level, format)
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program's file: %w", err)
			}
			cfg.Command = []string{self, childName}
			w, err := worker.New(cfg, log)
			if err != nil {
				return err
			}
			// Databases are downloaded by way of temporary files, which stay when
			// the process is killed meanwhile.
			if err := os.Setenv("TMPDIR", w.TempDir()); err != nil {
				return fmt.Errorf("set the directory of temporary files: %w", err)
			}
			// The reports that are kept make garbage, which must not grow into the
			// memory of scans.
			if os.Getenv("GOMEMLIMIT") == "" {
				debug.SetMemoryLimit(w.OwnMemory())
			}
			librarylog.Use(log)
			return running(w.Run(cmd.Context()))
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Listen, "listen", cfg.Listen, "address of the API: host:port, a Unix socket to make, unix:///path, or an inherited socket, fd://3")
	f.StringVar(&cfg.CacheDir, "cache-dir", defaultCacheDir(), "directory for scans, package lists and the database; each worker needs its own (the worker that a provider starts has scanner in the provider's --data-dir)")
	f.BoolVar(&cfg.Beside, "beside", false, "while another worker uses --cache-dir, work in a folder below it, with the database that is there")
	f.DurationVar(&cfg.ShutdownLimit, "shutdown-limit", cfg.ShutdownLimit, "how long at most to go on after the signal to end, while clients are connected (0: end at once)")
	f.IntVar(&cfg.Jobs.Workers, "workers", cfg.Jobs.Workers, "scans that run at once")
	f.IntVar(&cfg.Jobs.PerShare, "per-share", 0, "scans that run at once for one registry, or for one name of Imagegate-Share (0: all workers but one)")
	f.DurationVar(&cfg.Jobs.Abandon, "abandon-after", cfg.Jobs.Abandon, "end a scan whose report nobody has asked for in this time")
	f.StringToStringVar(&cfg.RegistryCAs, "registry-ca", nil, "HOST[:PORT]=FILE: certificate authorities (PEM) of a registry (repeatable); a changed file is read again")
	f.StringSliceVar(&cfg.TokenHosts, "token-hosts", nil, "private ip[:port] of a token server that registries may name (repeatable)")
	f.IntVar(&cfg.Jobs.Queue, "queue", cfg.Jobs.Queue, "scans that may wait")
	f.IntVar(&cfg.Jobs.Results, "results", cfg.Jobs.Results, "finished scans to keep")
	f.DurationVar(&cfg.Jobs.TTL, "result-ttl", cfg.Jobs.TTL, "how long to keep finished scans")
	f.BoolVar(&cfg.Warm, "spare-process", cfg.Warm, "keep a prepared process waiting for the next image")
	f.StringSliceVar(&cfg.InsecureRegistries, "insecure-registries", nil, "host:port of a registry that may be reached without TLS (repeatable; loopback always may)")
	limitFlags(f, &cfg)
	databaseFlags(f, &cfg.Database)
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&format, "log-format", "json", "json or text")
	return cmd
}

func limitFlags(f *pflag.FlagSet, cfg *worker.Config) {
	f.DurationVar(&cfg.Limits.Timeout, "scan-timeout", cfg.Limits.Timeout, "time for one scan")
	f.DurationVar(&cfg.Limits.Stall, "stall-timeout", cfg.Limits.Stall, "how long a registry may send nothing during a scan")
	f.Var((*size)(&cfg.Limits.LeastTransfer), "least-transfer", "what a registry must send at least in each --transfer-window while a scan waits for it (0: no limit)")
	f.DurationVar(&cfg.Limits.TransferWindow, "transfer-window", cfg.Limits.TransferWindow, "the window of --least-transfer")
	f.Var((*size)(&cfg.Memory), "memory", "memory for the worker and all its scans (auto: what the container has)")
	f.Var((*size)(&cfg.Disk), "disk", "disk space for the whole cache directory (auto: what its file system has)")
	f.Var((*size)(&cfg.Limits.Memory), "memory-limit", "memory for one scan (auto: its share of --memory, 2GiB at most)")
	f.Var((*size)(&cfg.Limits.File), "file-limit", "size of one file that a scan writes (auto: as --disk-limit, 4GiB at most)")
	f.Var((*size)(&cfg.Limits.Disk), "disk-limit", "disk space of one scan: the image's layers, unpacked (auto: its share of --disk, 10GiB at most)")
	f.IntVar(&cfg.Limits.Files, "files-limit", cfg.Limits.Files, "files that a scan may write")
	f.Var((*size)(&cfg.SBOMCacheBytes), "sbom-cache", "disk space for package lists of scanned images (auto: an eighth of --disk without the database, 1GiB at most)")
	f.Var((*size)(&cfg.LayerCacheBytes), "layer-cache", "disk space for unpacked layers of scanned images (0: keep none; auto: a quarter of --disk without the database, 4GiB at most)")
}

func databaseFlags(f *pflag.FlagSet, cfg *database.Config) {
	f.StringVar(&cfg.Dir, "db-dir", "", "directory of the vulnerability database (default: db in the cache directory)")
	f.StringVar(&cfg.UpdateURL, "db-update-url", cfg.UpdateURL, "where new vulnerability databases are announced")
	f.BoolVar(&cfg.AutoUpdate, "db-auto-update", cfg.AutoUpdate, "download new vulnerability databases")
	f.DurationVar(&cfg.Interval, "db-update-interval", cfg.Interval, "how often to look for a new vulnerability database")
	f.StringVar(&cfg.Import, "db-import", "", "install the vulnerability database from this file (archive or .db) at start, and do not update it")
	f.BoolVar(&cfg.Sample, "db-sample", false, "use a small SAMPLE database built from the advisories in the source; for tests and demonstrations only")
	f.DurationVar(&cfg.MaxAge, "db-max-age", cfg.MaxAge, "scans fail when the vulnerability database is older than this (0: its age does not matter)")
}

// size is a flag like 512MiB, or auto, which is worker.Fit.
type size int64

const auto = "auto"

func (b *size) String() string {
	if *b == worker.Fit {
		return auto
	}
	return humanize.IBytes(uint64(max(0, *b)))
}

func (b *size) Type() string { return "bytes" }

func (b *size) Set(s string) error {
	if s == auto {
		*b = worker.Fit
		return nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil {
		return err
	}
	if n > 1<<62 {
		return fmt.Errorf("%q is too large", s)
	}
	*b = size(n)
	return nil
}

// defaultCacheDir is the folder of the worker that a provider of the same user starts:
// what is imported here is used there.
func defaultCacheDir() string {
	if data := os.Getenv("IMAGEGATE_DATA_DIR"); data != "" { // the provider's --data-dir
		return filepath.Join(data, "scanner")
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "imagegate", "scanner")
}
