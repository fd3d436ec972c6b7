package bundled

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Options configures a Worker. The zero value looks for the binary and keeps
// the worker's cache in a folder below the user's cache directory.
type Options struct {
	// Path of the worker's binary. Empty looks for "scanner" beside the running
	// executable, then for "imagegate-scanner" and "scanner" in PATH.
	Path string
	// CacheDir holds the vulnerability database and what the worker keeps
	// between scans; it is made when missing.
	CacheDir string
	// SampleDatabase has the worker use its small sample database instead of
	// the one that updates itself.
	SampleDatabase bool
	// DatabaseURL is where new databases are announced; empty is the worker's default.
	// DatabaseFile is a database to take in at the start instead.
	DatabaseURL, DatabaseFile string
	// MaxDatabaseAge is how old the database may be; zero is the worker's default, or
	// any for DatabaseFile.
	MaxDatabaseAge time.Duration
	// LogLevel is the worker's; empty is its default.
	LogLevel string
	// Once gives the worker up where starting it again would not help, for a command
	// that a person waits for.
	Once bool
	// Insecure lists registries (host[:port]) read over plain HTTP.
	Insecure []string
	// CAFiles names, for a registry (host[:port]), a PEM file of certificate
	// authorities that are trusted for it beside the system's. The worker follows
	// the files.
	CAFiles map[string]string
	// TokenHosts lists the token servers (ip[:port]) that registries may name
	// although their address is private.
	TokenHosts []string
	// Workers is how many scans run at once; default 1, and no more than there is
	// memory for.
	Workers int
	// Memory bounds the worker with all its scans, Disk all that is below CacheDir,
	// LayerCache and ListCache what it keeps there of images; all in bytes. Zero is
	// what fits into the container, or on the machine.
	Memory, Disk, LayerCache, ListCache int64
	// Args are added to the command line.
	Args []string
	// ReadyTimeout is how long WaitReady waits while nothing goes on; default 2m.
	ReadyTimeout time.Duration
	// StopTimeout is how long the worker may take to end after SIGTERM before
	// it is killed; default 10s.
	StopTimeout time.Duration
	// RestartInitial and RestartMax bound the wait before a worker that died is
	// started again; default 500ms and 30s.
	RestartInitial, RestartMax time.Duration
	// Logger gets the worker's own log lines and what happens to it; default
	// slog.Default().
	Logger *slog.Logger
}

// readyTimeout is long: it may be the registry of databases that is slow.
const readyTimeout = 2 * time.Minute

func (o Options) withDefaults() (Options, error) {
	if o.ReadyTimeout < 0 || o.StopTimeout < 0 || o.RestartInitial < 0 || o.RestartMax < 0 {
		return o, errors.New("the bundled scanner's durations cannot be negative")
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&o.ReadyTimeout, readyTimeout},
		{&o.StopTimeout, 10 * time.Second},
		{&o.RestartInitial, 500 * time.Millisecond},
		{&o.RestartMax, 30 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Workers < 0 {
		return o, errors.New("the bundled scanner's number of workers cannot be negative")
	}
	if o.Memory < 0 || o.Disk < 0 || o.LayerCache < 0 || o.ListCache < 0 {
		return o, errors.New("the bundled scanner's sizes cannot be negative")
	}
	var err error
	if o.Workers, err = o.affordable(); err != nil {
		return o, err
	}
	if o.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("choosing the bundled scanner's cache directory (scanner.bundled.cacheDir): %w", err)
		}
		o.CacheDir = filepath.Join(dir, "imagegate", "scanner")
	}
	return o, nil
}

// advice ends the error about a missing binary.
const advice = "build it with `make build`, name it in scanner.bundled.path, or name a Harbor scanner adapter in scanner.harbor.url (--scanner-url)"

// binary finds the worker's binary.
func (o Options) binary() (string, error) {
	if o.Path != "" {
		path, err := exec.LookPath(o.Path)
		if err != nil {
			return "", fmt.Errorf("scanner.bundled.path: %w; %s", err, advice)
		}
		return filepath.Abs(path)
	}
	if self, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), "scanner")); err == nil {
			return path, nil
		}
	}
	for _, name := range []string{"imagegate-scanner", "scanner"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no scanner: no `scanner` beside the provider's executable and no `imagegate-scanner` in PATH; " + advice)
}

// inherited is where the worker listens: on the first file that it inherits
// beside its standard ones.
const inherited = "fd://3"

func (o Options) args() []string {
	args := []string{"serve", "--listen", inherited, "--cache-dir", o.CacheDir, "--workers", strconv.Itoa(o.Workers)}
	// A provider may serve from the same folder.
	args = append(args, "--beside")
	if o.SampleDatabase {
		args = append(args, "--db-sample")
	}
	for _, given := range []struct{ flag, value string }{
		{"--db-update-url", o.DatabaseURL}, {"--db-import", o.DatabaseFile}, {"--log-level", o.LogLevel},
	} {
		if given.value != "" {
			args = append(args, given.flag, given.value)
		}
	}
	if o.MaxDatabaseAge > 0 || o.DatabaseFile != "" {
		args = append(args, "--db-max-age", o.MaxDatabaseAge.String())
	}
	for _, size := range []struct {
		flag  string
		bytes int64
	}{{"--memory", o.Memory}, {"--disk", o.Disk}, {"--layer-cache", o.LayerCache}, {"--sbom-cache", o.ListCache}} {
		if size.bytes > 0 {
			args = append(args, size.flag, strconv.FormatInt(size.bytes, 10)+"B")
		}
	}
	for _, r := range o.Insecure {
		args = append(args, "--insecure-registries", r)
	}
	for _, host := range o.TokenHosts {
		args = append(args, "--token-hosts", host)
	}
	for _, registry := range slices.Sorted(maps.Keys(o.CAFiles)) {
		args = append(args, "--registry-ca", registry+"="+o.CAFiles[registry])
	}
	return append(args, o.Args...)
}
