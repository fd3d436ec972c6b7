// Package worker puts the parts of the scanner worker together: configuration,
// the API, the queue, the child processes, the caches and the database.
package worker

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/imagegate/imagegate/scanner/database"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/imagescan"
	"github.com/imagegate/imagegate/scanner/jobs"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// Config of a worker. Default fills what is not said.
type Config struct {
	// Listen is the address of the API, host:port, a Unix socket that is made,
	// unix:///path, or a listening socket that the parent process hands down, fd://3.
	Listen string
	// CacheDir belongs to one running worker alone: private directories of
	// scans, package lists, and the database unless it has its own directory.
	CacheDir string
	// Beside has a worker whose CacheDir is another's work in a directory of its own
	// below it, with the database of the other.
	Beside bool
	// Memory is what the worker and its scans may take together, Disk what CacheDir
	// may hold with all that is below it. They bound the sizes that are to fit; Fit
	// is what the container or the machine has.
	Memory, Disk int64
	// SBOMCacheBytes bounds the package lists on disk.
	SBOMCacheBytes int64
	// LayerCacheBytes bounds the unpacked layers on disk; 0 keeps none.
	LayerCacheBytes int64
	// InsecureRegistries are hosts, with port, that may be reached without TLS.
	// Hosts on the loopback interface always may.
	InsecureRegistries []string
	// RegistryCAs names, for a registry's host with its port, a PEM file of
	// certificate authorities that are trusted for it beside the system's. The
	// files may change.
	RegistryCAs map[string]string
	// TokenHosts are the token servers, ip[:port], that registries may name
	// although their address is private. All others at such addresses are refused.
	TokenHosts []string

	Database database.Config
	Jobs     jobs.Config
	Limits   sandbox.Limits

	// Warm keeps a prepared child waiting while no scan runs.
	Warm bool

	// ShutdownLimit is for how long the worker goes on, once it was told to end, while
	// clients are connected; 0: not at all.
	ShutdownLimit time.Duration

	// Command runs a child: this binary with its hidden subcommand. Env is
	// added to its environment.
	Command []string
	Env     []string

	// own is what the worker takes of the memory beside its scans.
	own int64
	// beside says that CacheDir is below another worker's.
	beside bool
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// Default is the configuration of `scanner serve` without flags, apart from
// directories and the command of the child.
func Default() Config {
	return Config{
		Listen:          "127.0.0.1:8081",
		Memory:          Fit,
		Disk:            Fit,
		SBOMCacheBytes:  Fit,
		LayerCacheBytes: Fit,
		Warm:            true,
		Database: database.Config{
			UpdateURL:  "https://grype.anchore.io/databases",
			AutoUpdate: true,
			Interval:   2 * time.Hour,
			MaxAge:     5 * 24 * time.Hour,
			Name:       "imagegate-scanner",
			Version:    ModuleVersion("github.com/anchore/grype"),
		},
		Jobs: jobs.Config{Workers: 1, Queue: 100, Abandon: 2 * time.Minute, Results: 500, ResultBytes: 256 * mib, TTL: time.Hour},
		Limits: sandbox.Limits{
			Timeout: 5 * time.Minute,
			Stall:   30 * time.Second,

			LeastTransfer:  64 * kib,
			TransferWindow: 30 * time.Second,

			Memory: Fit,
			File:   Fit,
			Disk:   Fit,
			Files:  100_000,
			Output: 64 * mib,
		},
	}
}

// Validate names the flag that is wrong.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	err := checkListen(c.Listen)
	wrong(err != nil, "--listen: %v", err)
	wrong(c.CacheDir == "", "--cache-dir: must be given")
	wrong(c.Jobs.Workers < 1, "--workers: must be at least 1")
	wrong(c.Jobs.PerShare < 0 || c.Jobs.PerShare > c.Jobs.Workers, "--per-share: must be between 0 and --workers")
	wrong(c.Jobs.Abandon < 10*time.Second, "--abandon-after: must be at least 10s")
	wrong(c.Jobs.Queue < 1, "--queue: must be at least 1")
	wrong(c.Jobs.Results < 1, "--results: must be at least 1")
	wrong(c.Jobs.TTL < time.Second, "--result-ttl: must be at least 1s")
	wrong(c.Limits.Timeout < time.Second, "--scan-timeout: must be at least 1s")
	wrong(c.Limits.Stall <= 0, "--stall-timeout: must be positive")
	wrong(c.Limits.LeastTransfer < 0, "--least-transfer: must not be negative")
	wrong(c.Limits.TransferWindow < time.Second, "--transfer-window: must be at least 1s")
	wrong(c.ShutdownLimit < 0, "--shutdown-limit: must not be negative")
	wrong(c.Memory != Fit && c.Memory < leastScanMemory, "--memory: must be at least 256MiB")
	wrong(c.Limits.Memory != Fit && c.Limits.Memory < 128*mib, "--memory-limit: must be at least 128MiB")
	wrong(c.Limits.File != Fit && c.Limits.File < mib, "--file-limit: must be at least 1MiB")
	wrong(c.Limits.Disk != Fit && c.Limits.Disk < mib, "--disk-limit: must be at least 1MiB")
	wrong(c.Limits.Files < 100, "--files-limit: must be at least 100")
	wrong(c.Database.Sample && c.Database.Import != "", "--db-sample and --db-import exclude each other")
	wrong(c.Database.Interval < time.Minute, "--db-update-interval: must be at least 1m")
	wrong(c.Database.MaxAge < 0, "--db-max-age: must not be negative")
	u, err := url.Parse(c.Database.UpdateURL)
	wrong(err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"), "--db-update-url: %q is not an http(s) URL", c.Database.UpdateURL)
	for _, r := range c.InsecureRegistries {
		wrong(r == "" || strings.ContainsAny(r, "/ "), "--insecure-registries: %q is not host:port", r)
	}
	for _, s := range c.TokenHosts {
		_, err := imagescan.ParseTokenHost(s)
		wrong(err != nil, "--token-hosts: %v", err)
	}
	return errors.Join(errs...)
}

// absolute makes the directories independent of where a process runs: children
// run in directories of their own.
func (c *Config) absolute() error {
	for host, file := range c.RegistryCAs {
		abs, err := filepath.Abs(file)
		if err != nil {
			return fmt.Errorf("find the file %s: %w", file, err)
		}
		c.RegistryCAs[host] = abs
	}
	for _, dir := range []*string{&c.CacheDir, &c.Database.Dir} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return fmt.Errorf("find the directory %s: %w", *dir, err)
		}
		*dir = abs
	}
	return nil
}

// jobs has a slot left for others whatever one share does, where there are
// several.
func (c *Config) jobs() jobs.Config {
	j := c.Jobs
	if j.PerShare == 0 {
		j.PerShare = max(1, j.Workers-1)
	}
	return j
}

func (c *Config) databaseConfig() database.Config {
	db := c.Database
	if db.Dir == "" {
		db.Dir = filepath.Join(c.CacheDir, "db")
	}
	return db
}

// Engine is what reports name as their scanner.
func Engine() harbor.Scanner {
	return harbor.Scanner{Name: "Grype", Vendor: "Anchore", Version: strings.TrimPrefix(ModuleVersion("github.com/anchore/grype"), "v")}
}

// ModuleVersion is the version of a dependency in this binary.
func ModuleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == path {
			return d.Version
		}
	}
	return "unknown"
}
