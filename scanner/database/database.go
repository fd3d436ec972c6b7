// Package database keeps the vulnerability database of the worker: where it
// comes from, whether it may still be used, and which copy of it a scan reads.
//
// Every installed copy is a directory of its own below the root, gen-*, which is
// never changed once it is in use. An update makes a new one and then points to
// it, so running scans keep the copy they started with. Anything doubtful (no
// database, too old, a wrong checksum) fails closed: no scan is accepted.
package database

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/anchore/clio"
	"github.com/anchore/grype/grype/db/v6/distribution"
	"github.com/anchore/grype/grype/db/v6/installation"

	"github.com/imagegate/imagegate/scanner/advisories"
	"github.com/imagegate/imagegate/scanner/failure"
)

// Kinds of database.
const (
	KindGrype  = "grype"
	KindSample = "sample"
)

// Config says where the database comes from. One of Sample, Import and
// AutoUpdate is enough; with none of them what Dir holds is used.
type Config struct {
	// Dir is the root of the installed copies. It belongs to one worker.
	Dir string
	// UpdateURL is where Grype's databases are announced.
	UpdateURL string
	// AutoUpdate fetches new databases, checking every Interval.
	AutoUpdate bool
	Interval   time.Duration
	// Import is a file to install at start: an archive or a bare .db file.
	Import string
	// Sample installs the advisories of this repository instead.
	Sample bool
	// MaxAge is how old a database may be; zero allows any. It does not apply
	// to the sample, which says what it is.
	MaxAge time.Duration
	// ID is how the worker names itself to the server of databases.
	Name, Version string
}

// Status is what is known of the database in use.
type Status struct {
	Kind    string
	BuiltAt time.Time
	Schema  string
	// From says where it came from: a URL or a file.
	From string
}

// Database is the one in use, and those still read by running scans.
type Database struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	current *generation
}

// generation is one installed copy.
type generation struct {
	root    string // gen-*
	dir     string // the directory of the .db file, for readers
	status  Status
	stamp   stamp
	users   int
	retired bool
}

// stamp recognises that somebody changed the file under us.
type stamp struct {
	size    int64
	changed time.Time
}

// New returns a database that is not ready before Start.
func New(cfg Config, log *slog.Logger) *Database { return &Database{cfg: cfg, log: log} }

// Start installs or finds a database, which may take minutes for a large file.
// Having none yet is no error when one can be downloaded later.
func (d *Database) Start() error {
	if err := os.MkdirAll(d.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the database directory: %w", err)
	}
	var err error
	switch {
	case d.cfg.Sample:
		err = d.installSample()
	case d.cfg.Import != "":
		err = d.install(d.cfg.Import, KindGrype)
	default:
		err = d.adopt()
	}
	if err == nil {
		d.sweep()
	}
	return err
}

// adopt takes up what an earlier run installed.
func (d *Database) adopt() error {
	name, err := os.ReadFile(filepath.Join(d.cfg.Dir, pointerFile))
	if errors.Is(err, fs.ErrNotExist) {
		if d.cfg.AutoUpdate {
			return nil
		}
		return fmt.Errorf("there is no vulnerability database in %s: let the worker update it, import one or use the sample", d.cfg.Dir)
	}
	if err != nil {
		return fmt.Errorf("read which database is in use: %w", err)
	}
	kind, dir, _ := strings.Cut(strings.TrimSpace(string(name)), " ")
	if dir != filepath.Base(dir) || !strings.HasPrefix(dir, generationPrefix) {
		return fmt.Errorf("%s in %s does not name a database", pointerFile, d.cfg.Dir)
	}
	g, err := d.open(filepath.Join(d.cfg.Dir, dir), kind)
	if err != nil {
		if d.cfg.AutoUpdate {
			d.log.Error("the installed vulnerability database cannot be used; waiting for an update", "error", err)
			return nil
		}
		return err
	}
	d.use(g)
	return nil
}

// open checks a generation, checksum included, and describes it.
func (d *Database) open(root, kind string) (*generation, error) {
	cfg := d.installConfig(root)
	// Age is checked whenever a scan starts, not only now.
	cfg.ValidateAge = false
	curator, err := d.curator(cfg)
	if err != nil {
		return nil, err
	}
	st := curator.Status()
	if st.Error != nil {
		return nil, fmt.Errorf("vulnerability database in %s: %w", root, st.Error)
	}
	s, err := stampOf(cfg.DBFilePath())
	if err != nil {
		return nil, err
	}
	return &generation{
		root: root, dir: cfg.DBDirectoryPath(), stamp: s,
		status: Status{Kind: kind, BuiltAt: st.Built.UTC(), Schema: st.SchemaVersion, From: st.From},
	}, nil
}

func stampOf(path string) (stamp, error) {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}, fmt.Errorf("look at the vulnerability database: %w", err)
	}
	return stamp{size: st.Size(), changed: st.ModTime()}, nil
}

// use makes g the database of new scans.
func (d *Database) use(g *generation) {
	d.mu.Lock()
	old := d.current
	d.current = g
	if old != nil {
		old.retired = true
	}
	idle := old != nil && old.users == 0
	d.mu.Unlock()
	if idle {
		d.discard(old)
	}
	args := []any{"kind", g.status.Kind, "built_at", g.status.BuiltAt, "schema", g.status.Schema, "from", g.status.From}
	if g.status.Kind == KindSample {
		d.log.Warn("the SAMPLE vulnerability database is in use: it knows a handful of advisories and is for tests and demonstrations only", args...)
		return
	}
	d.log.Info("vulnerability database in use", args...)
}

// Lease is a database that stays on disk until it is released.
type Lease struct {
	Dir     string
	Status  Status
	release func()
}

// Release must be called once, when the scan is over.
func (l *Lease) Release() { l.release() }

// Acquire hands the current database to a scan, or says why there is none.
// Errors are of type *failure.Failure with code database.
func (d *Database) Acquire() (*Lease, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return nil, err
	}
	g := d.current
	g.users++
	var once sync.Once
	return &Lease{Dir: g.dir, Status: g.status, release: func() { once.Do(func() { d.done(g) }) }}, nil
}

// Ready is nil when scans can run.
func (d *Database) Ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usable()
}

// Status describes the current database, if there is one.
func (d *Database) Status() (Status, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return Status{}, false
	}
	return d.current.status, true
}

func (d *Database) usable() error {
	g := d.current
	if g == nil {
		return failure.New(failure.Database, "the scanner worker has no vulnerability database yet")
	}
	if age := time.Since(g.status.BuiltAt); d.cfg.MaxAge > 0 && g.status.Kind != KindSample && age > d.cfg.MaxAge {
		return failure.New(failure.Database, "the vulnerability database was built %s ago; %s is the limit", age.Round(time.Hour), d.cfg.MaxAge)
	}
	now, err := stampOf(filepath.Join(g.dir, fileName))
	if err != nil {
		return failure.Wrap(failure.Database, err, "the vulnerability database is gone from the scanner worker's disk")
	}
	if now.size != g.stamp.size || !now.changed.Equal(g.stamp.changed) {
		return failure.New(failure.Database, "the vulnerability database on the scanner worker's disk was changed by something else")
	}
	return nil
}

func (d *Database) done(g *generation) {
	d.mu.Lock()
	g.users--
	idle := g.retired && g.users == 0
	d.mu.Unlock()
	if idle {
		d.discard(g)
	}
}

func (d *Database) discard(g *generation) {
	if err := os.RemoveAll(g.root); err != nil {
		d.log.Warn("an old vulnerability database could not be removed", "dir", g.root, "error", err)
	}
}

// sweep removes what earlier runs left: half installed and superseded copies.
func (d *Database) sweep() {
	entries, err := os.ReadDir(d.cfg.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		root := filepath.Join(d.cfg.Dir, e.Name())
		if strings.HasPrefix(e.Name(), generationPrefix) && (d.current == nil || d.current.root != root) {
			d.discard(&generation{root: root})
		}
	}
}

func (d *Database) installSample() error {
	all, err := advisories.Load()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(d.cfg.Dir, generationPrefix+"build-")
	if err != nil {
		return fmt.Errorf("make a directory for the sample database: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // swept at the next start
	path, err := BuildSample(dir, all)
	if err != nil {
		return err
	}
	return d.install(path, KindSample)
}

func (d *Database) installConfig(root string) installation.Config {
	return installation.Config{DBRootDir: root, ValidateChecksum: true, ValidateAge: d.cfg.MaxAge > 0, MaxAllowedBuiltAge: d.cfg.MaxAge}
}

func (d *Database) distributionConfig() distribution.Config {
	cfg := distribution.DefaultConfig()
	cfg.ID = clio.Identification{Name: d.cfg.Name, Version: d.cfg.Version}
	cfg.RequireUpdateCheck = true
	if d.cfg.UpdateURL != "" {
		cfg.LatestURL = d.cfg.UpdateURL
	}
	return cfg
}

// BuiltAt is Status in the words of the API.
func (d *Database) BuiltAt() (at time.Time, kind string, ok bool) {
	st, ok := d.Status()
	return st.BuiltAt, st.Kind, ok
}
