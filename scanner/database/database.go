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
	"syscall"
	"time"

	"github.com/wagoodman/go-progress"

	"github.com/imagegate/imagegate/scanner/failure"
)

// Kinds of database.
const (
	KindGrype  = "grype"
	KindSample = "sample"
)

// Config says where the database comes from. One of Sample, Import and
// AutoUpdate is enough; with none of them what Dir holds is used, unless that is
// the sample.
type Config struct {
	// Dir is the root of the installed copies. It belongs to one worker.
	Dir string
	// Beside is the Dir of another worker, on the same file system, whose databases are
	// used instead of downloading them once more. Sample and Import come before it.
	Beside string
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

	// update is Update; tests have others.
	update func() (bool, error)

	lock *os.File

	mu       sync.Mutex
	current  *generation
	progress Progress
	// transfer is the download that is under way, followed the database of Config.Beside
	// that is in use.
	transfer *progress.Manual
	followed string
}

// New returns a database that is not ready before Start.
func New(cfg Config, log *slog.Logger) *Database {
	d := &Database{cfg: cfg, log: log}
	d.update = d.Update
	return d
}

// ErrInUse says that the directory is another process's.
var ErrInUse = errors.New("in use by another process")

// Start takes the directory for this process and installs or finds a database,
// which may take minutes for a large file. Having none yet is no error when one
// can be downloaded later.
func (d *Database) Start() error {
	if err := os.MkdirAll(d.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the database directory: %w", err)
	}
	if err := d.claim(); err != nil {
		return err
	}
	switch {
	case d.cfg.Sample:
		d.at(Progress{State: Installing})
		return d.installSample()
	case d.cfg.Import != "":
		d.at(Progress{State: Installing})
		return d.install(d.cfg.Import, true)
	case d.cfg.Beside != "":
		d.at(Progress{State: Waiting})
		return nil // see Run
	default:
		d.at(Progress{State: Looking})
		return d.adopt(false)
	}
}

// claim locks the directory: two processes would remove each other's copies.
func (d *Database) claim() error {
	f, err := os.OpenFile(filepath.Join(d.cfg.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock the database directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return fmt.Errorf("the database directory %s is %w", d.cfg.Dir, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lock = f
	return nil
}

// Close gives the directory back.
func (d *Database) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}

// Inspect finds the installed database without taking the directory, to look at
// it only.
func (d *Database) Inspect() error { return d.adopt(true) }

// adopt takes up what an earlier run installed. A sample that was tried out
// before must not become the database of a worker that was not asked to use it.
func (d *Database) adopt(sampleToo bool) error {
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
	_, dir, _ := strings.Cut(strings.TrimSpace(string(name)), " ")
	if dir != filepath.Base(dir) || !strings.HasPrefix(dir, generationPrefix) {
		return fmt.Errorf("%s in %s does not name a database", pointerFile, d.cfg.Dir)
	}
	g, err := d.open(filepath.Join(d.cfg.Dir, dir))
	if err == nil && g.status.Kind == KindSample && !sampleToo {
		err = fmt.Errorf("%s holds the SAMPLE database, which is used only when it is asked for", d.cfg.Dir)
	}
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
	d.at(Progress{State: Done})
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
		return failure.New(failure.Database, "there is no vulnerability database yet")
	}
	if age := time.Since(g.status.BuiltAt); d.cfg.MaxAge > 0 && g.status.Kind != KindSample && age > d.cfg.MaxAge {
		return failure.New(failure.Database, "the vulnerability database was built %s ago; %s is the limit", age.Round(time.Hour), d.cfg.MaxAge)
	}
	return g.intact()
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

// BuiltAt is Status in the words of the API.
func (d *Database) BuiltAt() (at time.Time, kind string, ok bool) {
	st, ok := d.Status()
	return st.BuiltAt, st.Kind, ok
}
