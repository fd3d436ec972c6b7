package database

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"

	"github.com/imagegate/imagegate/scanner/failure"
)

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

// intact says whether the file is the one that was checked.
func (g *generation) intact() error {
	now, err := stampOf(filepath.Join(g.dir, fileName))
	if err != nil {
		return failure.Wrap(failure.Database, err, "the vulnerability database is gone from the scanner worker's disk")
	}
	if now.size != g.stamp.size || !now.changed.Equal(g.stamp.changed) {
		return failure.New(failure.Database, "the vulnerability database on the scanner worker's disk was changed by something else")
	}
	return nil
}

// open checks a generation, checksum included, and describes it.
func (d *Database) open(root string) (*generation, error) {
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
	kind, err := kindOf(cfg.DBDirectoryPath())
	if err != nil {
		return nil, err
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

// kindOf asks the data itself: a sample stays one whatever file it comes in and
// whoever installs it.
func kindOf(dir string) (kind string, err error) {
	db, err := v6.NewReader(v6.Config{DBDirPath: dir})
	if err != nil {
		return "", fmt.Errorf("open the vulnerability database: %w", err)
	}
	defer db.Close() //nolint:errcheck // read only
	sources, err := db.AllProviders()
	if err != nil {
		return "", fmt.Errorf("read the sources of the vulnerability database: %w", err)
	}
	for _, s := range sources {
		if s.Processor == sampleProcessor && s.Version == sampleVersion {
			return KindSample, nil
		}
	}
	return KindGrype, nil
}

func stampOf(path string) (stamp, error) {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}, fmt.Errorf("look at the vulnerability database: %w", err)
	}
	return stamp{size: st.Size(), changed: st.ModTime()}, nil
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
