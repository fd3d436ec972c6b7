package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How often the other worker's database is looked at: while there is none, and later.
const (
	followSoon = 200 * time.Millisecond
	followLate = time.Minute
)

// follow uses what the worker of Config.Beside gets, until ctx ends. Should that worker
// be gone, it is done in its place: the directory stays one that any worker can take.
func (d *Database) follow(ctx context.Context) {
	var looked time.Time
	for {
		if err := d.link(); err != nil {
			d.at(Progress{State: Failed, Error: err.Error()})
			d.log.Error("the vulnerability database of another worker cannot be used", "dir", d.cfg.Beside, "error", err)
		}
		wait := followLate
		if d.Ready() != nil {
			wait = followSoon
		}
		if time.Since(looked) > d.again() {
			looked = time.Now()
			d.updateBeside()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// again is how soon a directory that nobody has is updated.
func (d *Database) again() time.Duration {
	if d.Ready() != nil {
		return min(d.cfg.Interval, retryEvery)
	}
	return d.cfg.Interval
}

// updateBeside updates the other directory unless somebody has it.
func (d *Database) updateBeside() {
	if !d.cfg.AutoUpdate {
		return
	}
	cfg := d.cfg
	cfg.Dir, cfg.Beside = d.cfg.Beside, ""
	other := New(cfg, d.log)
	err := other.Start()
	if errors.Is(err, ErrInUse) {
		return // by whom updates it
	}
	if err == nil {
		err = errors.Join(other.updateOnce(), other.Close())
	}
	if err != nil {
		d.log.Error("the vulnerability database could not be updated", "error", err)
	}
}

// link takes up the database that the other directory has, if it is another one than
// before: the same files under names of our own, so that they stay when they are
// replaced there.
func (d *Database) link() (err error) {
	raw, err := os.ReadFile(filepath.Join(d.cfg.Beside, pointerFile))
	if err != nil {
		return nil // there is none yet
	}
	pointer := strings.TrimSpace(string(raw))
	if pointer == d.followed {
		return nil
	}
	_, name, _ := strings.Cut(pointer, " ")
	if name != filepath.Base(name) || !strings.HasPrefix(name, generationPrefix) {
		return fmt.Errorf("%s in %s does not name a database", pointerFile, d.cfg.Beside)
	}
	root, err := os.MkdirTemp(d.cfg.Dir, generationPrefix)
	if err != nil {
		return fmt.Errorf("make a directory for a database: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(root)
		}
	}()
	if err := linkAll(filepath.Join(d.cfg.Beside, name), root); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(root) // it was replaced meanwhile
	} else if err != nil {
		return fmt.Errorf("share the vulnerability database of %s: %w", d.cfg.Beside, err)
	}
	g, err := d.open(root)
	if err != nil {
		return err
	}
	if g.status.Kind == KindSample {
		return fmt.Errorf("the worker of %s uses the SAMPLE database, which is used only when it is asked for: end that worker, or use a cache directory of your own", d.cfg.Beside)
	}
	d.followed = pointer
	d.use(g)
	return nil
}

// linkAll makes hard links below to of all files below from.
func linkAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		link := os.Link
		if e.IsDir() {
			link = linkAll
		}
		if err := link(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
