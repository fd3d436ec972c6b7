package database

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
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
