// Package layercache keeps the unpacked layers of images that were scanned, so
// that a new build on the same base only fetches and unpacks its own layers.
//
// The worker adds to the cache and removes from it; the processes that scan only
// look, each through a View. A layer is found by the registry it came from, by
// its digest in the manifest and by the hash of its content, never by the last
// alone: an image's configuration could name the content of another. Whoever
// takes a layer out has pulled such a manifest from that registry with
// credentials of his own. The hash is there because a layer's type decides how
// it is unpacked: what one image calls a compressed layer is an archive as it is
// in another.
//
// Entries come by rename and are hashed whenever they are taken out, so a crash
// or a bad disk leaves at worst an entry that is thrown away.
package layercache

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/imagegate/imagegate/scanner/internal/leastused"
)

// Cache is a directory of unpacked layers, bounded in bytes: the least recently
// used go first.
type Cache struct {
	dir   string
	limit int64
	log   *slog.Logger
	mu    sync.Mutex
}

// Open makes the directory, removes what is no entry and shrinks it to limit
// bytes. A limit of zero empties it and keeps nothing.
func Open(dir string, limit int64, log *slog.Logger) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache of layers: %w", err)
	}
	c := &Cache{dir: dir, limit: limit, log: log}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the cache of layers: %w", err)
	}
	for _, e := range entries {
		if _, ok := parse(e.Name()); !ok || !e.Type().IsRegular() {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	return c, c.shrink()
}

// Dir is where a View looks; empty when nothing is kept.
func (c *Cache) Dir() string {
	if c.limit == 0 {
		return ""
	}
	return c.dir
}

// Adopt moves the layers that a scan left in a directory into the cache. It must
// be on the same file system. Anything else in there stays where it is.
func (c *Cache) Adopt(from string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the layers of a scan: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	added := false
	for _, e := range entries {
		info, err := e.Info()
		if _, ok := parse(e.Name()); err != nil || !ok || !info.Mode().IsRegular() || info.Size() > c.limit {
			continue
		}
		path := filepath.Join(from, e.Name())
		_ = os.Chtimes(path, now, now)
		if err := os.Rename(path, filepath.Join(c.dir, e.Name())); err != nil {
			return fmt.Errorf("keep a layer: %w", err)
		}
		added = true
	}
	if !added {
		return nil
	}
	return c.shrink()
}

// shrink removes the least recently used layers until the rest fits. Scans that
// have taken one out keep theirs: they hold links of their own.
func (c *Cache) shrink() error {
	err := leastused.Remove(c.dir, c.limit, func(f fs.FileInfo) {
		c.log.Debug("layer dropped from the cache", "layer", f.Name(), "bytes", f.Size())
	})
	if err != nil {
		return fmt.Errorf("shrink the cache of layers: %w", err)
	}
	return nil
}
