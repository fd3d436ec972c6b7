package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/imagegate/imagegate/scanner/database"
	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/imagescan"
	"github.com/imagegate/imagegate/scanner/jobs"
	"github.com/imagegate/imagegate/scanner/layercache"
	"github.com/imagegate/imagegate/scanner/metrics"
	"github.com/imagegate/imagegate/scanner/sandbox"
	"github.com/imagegate/imagegate/scanner/sbomcache"
	"github.com/imagegate/imagegate/scanner/server"
)

// listsVersion is raised when the way packages are listed changes.
const listsVersion = "3"

// listedBy names everything that decides what is in a package list.
func listedBy() string {
	return listsVersion + "-" + ModuleVersion("github.com/anchore/syft") + "-" + ModuleVersion("github.com/anchore/stereoscope")
}

// Worker is one scanner worker.
type Worker struct {
	cfg    Config
	log    *slog.Logger
	db     *database.Database
	queue  *jobs.Queue
	runner *sandbox.Runner
	roots  *authorities
	lock   *os.File
	ln     net.Listener

	metrics *metrics.Metrics
}

// New checks the configuration, takes the cache directory for itself, clears
// what a killed worker left there and listens. Run does the rest.
func New(cfg Config, log *slog.Logger) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := cfg.absolute(); err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, log: log}
	var err error
	if w.roots, err = newAuthorities(cfg.RegistryCAs, log); err != nil {
		return nil, fmt.Errorf("--registry-ca: %w", err)
	}
	if err := w.claim(); err != nil {
		return nil, err
	}
	w.db = database.New(w.cfg.databaseConfig(), log)
	if err := w.cfg.fit(); err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	cfg = w.cfg
	lists, err := sbomcache.Open(filepath.Join(cfg.CacheDir, "sboms"), listedBy(), cfg.SBOMCacheBytes)
	if err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	layers, err := layercache.Open(filepath.Join(cfg.CacheDir, "layers"), cfg.LayerCacheBytes, log)
	if err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	w.runner = &sandbox.Runner{
		Command: cfg.Command, Env: cfg.Env, Scratch: w.scratch(), Limits: cfg.Limits, Lists: lists, Layers: layers, Warm: cfg.Warm, Log: log,
	}
	w.metrics = metrics.New(w)
	w.queue = jobs.New(cfg.jobs(), w.metrics.Observe(w.scan), log)
	if w.ln, err = listen(cfg.Listen); err != nil {
		return nil, errors.Join(fmt.Errorf("--listen: %w", err), w.lock.Close())
	}
	return w, nil
}

func (w *Worker) scratch() string { return filepath.Join(w.cfg.CacheDir, "scratch") }

// TempDir is for the process's temporary files. It is empty after New, whatever
// an earlier worker left behind when it was killed.
func (w *Worker) TempDir() string { return filepath.Join(w.cfg.CacheDir, "tmp") }

// OwnMemory is what the process should take of the memory, in bytes: the rest is
// its scans'.
func (w *Worker) OwnMemory() int64 { return w.cfg.own }

// Waiting is how many scans have not started.
func (w *Worker) Waiting() int { return w.queue.Waiting() }

// DatabaseBuiltAt is when the vulnerability data was put together; false when
// there is none.
func (w *Worker) DatabaseBuiltAt() (time.Time, bool) {
	at, _, ok := w.db.BuiltAt()
	return at, ok
}

// claim locks the cache directory: two workers would delete each other's files. Where
// another has it, the directory is one of our own below it, if that is wanted.
func (w *Worker) claim() (err error) {
	shared := w.cfg.CacheDir
	if w.lock, err = lockIn(shared); errors.Is(err, syscall.EWOULDBLOCK) {
		if !w.cfg.Beside {
			return fmt.Errorf("the cache directory %s is in use by another scanner worker: end that one, or give this one another directory (--cache-dir) or --beside", w.cfg.CacheDir)
		}
		err = w.claimBeside()
	}
	if err != nil {
		return err
	}
	sweepBeside(shared)
	for _, dir := range []string{w.scratch(), w.TempDir()} {
		if err := os.RemoveAll(dir); err != nil {
			w.log.Warn("what an earlier worker left could not be removed", "dir", dir, "error", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return errors.Join(fmt.Errorf("make a directory below the cache directory: %w", err), w.lock.Close())
		}
	}
	return nil
}

// Addr is where the API listens.
func (w *Worker) Addr() net.Addr { return w.ln.Addr() }

// Run serves until ctx ends, and after that as Config.ShutdownLimit says, then stops
// scans and returns. It must be called once.
func (w *Worker) Run(ctx context.Context) error {
	defer w.release()
	told := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(told))
	defer cancel(nil)
	var clients clients
	srv := &http.Server{
		ConnState:         clients.note,
		Handler:           w.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelWarn),
	}
	w.log.Info("scanner worker listens", "address", w.Addr().String(), "scanner", Engine().Version,
		"workers", w.cfg.Jobs.Workers, "queue", w.cfg.Jobs.Queue, "cache_dir", w.cfg.CacheDir,
		"scan_memory_mib", w.cfg.Limits.Memory/mib, "scan_disk_mib", w.cfg.Limits.Disk/mib,
		"layer_cache_mib", w.cfg.LayerCacheBytes/mib, "sbom_cache_mib", w.cfg.SBOMCacheBytes/mib)

	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(w.ln); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("serve: %w", err))
		}
	})
	wg.Go(func() { w.queue.Run(ctx) })
	w.runner.Prepare()
	defer w.runner.Close() // after the last scan
	// Not waited for: it cannot be interrupted while it downloads or installs,
	// and what it leaves half done is removed at the next start.
	go func() {
		if err := w.db.Start(); err != nil {
			cancel(&SetupError{fmt.Errorf("vulnerability database: %w", err)})
			return
		}
		w.db.Run(ctx)
	}()
	defer w.db.Close() //nolint:errcheck // only a lock
	select {
	case <-told.Done():
		clients.stay(ctx, w.cfg.ShutdownLimit)
		cancel(nil)
	case <-ctx.Done():
	}
	w.log.Info("scanner worker stops")
	stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := srv.Shutdown(stopping); err != nil {
		_ = srv.Close()
	}
	wg.Wait()
	if told.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

func (w *Worker) handler() http.Handler {
	return server.New(server.Config{
		Queue:     w.queue,
		Database:  w.db,
		Progress:  func() any { return w.db.Progress() },
		Scanner:   Engine(),
		Workers:   w.cfg.Jobs.Workers,
		PlainHTTP: func(host string) bool { return imagescan.PlainHTTPAllowed(host, w.cfg.InsecureRegistries) },
		BodyLimit: 256 << 10,
		Refresh:   time.Second,
		Metrics:   w.metrics.Handler(),
		Log:       w.log,
	})
}

// scan is what the queue runs: one child process, and the frame of the report
// around what it found.
func (w *Worker) scan(ctx context.Context, req harbor.ScanRequest) ([]byte, error) {
	lease, err := w.db.Acquire()
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	found, err := w.runner.Run(ctx, sandbox.Request{
		Registry:      req.Registry.URL,
		Repository:    req.Artifact.Repository,
		Digest:        req.Artifact.Digest,
		Tag:           req.Artifact.Tag,
		Authorization: req.Registry.Authorization,
		PlainHTTP:     w.cfg.InsecureRegistries,
		Authorities:   w.roots.all(),
		TokenHosts:    w.cfg.TokenHosts,
		DatabaseDir:   lease.Dir,
	})
	if err != nil {
		return nil, err
	}
	report := harbor.Report{
		GeneratedAt:     time.Now().UTC(),
		Artifact:        req.Artifact,
		Scanner:         Engine(),
		Severity:        worst(found.Vulnerabilities),
		Vulnerabilities: found.Vulnerabilities,
		DatabaseBuiltAt: lease.Status.BuiltAt,
		DatabaseKind:    lease.Status.Kind,
		Distro:          found.Distro,
		Packages:        found.Packages,
		Suppressed:      found.Suppressed,

		UnmatchedPackages: found.Unmatched,
		DistroEndOfLife:   found.EndOfLife,
		RiskData:          found.RiskData,
	}
	raw, err := json.Marshal(report)
	if err != nil {
		return nil, failure.Wrap(failure.Internal, err, "the report could not be written down")
	}
	return raw, nil
}

func worst(vs []harbor.Vulnerability) harbor.Severity {
	w := harbor.SeverityNone
	for _, v := range vs {
		if v.Severity.Rank() > w.Rank() {
			w = v.Severity
		}
	}
	return w
}
