// Package sbomcache keeps the package lists of images that were scanned, by
// digest. A digest never changes its content, so a later scan only has to match
// the list with the database of the day.
package sbomcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cache is a directory of package lists, bounded in bytes: the least recently
// used go first.
type Cache struct {
	dir   string
	limit int64
	mu    sync.Mutex
}

// Open makes the directory. Lists made by another version of the tools are of
// no use: version names the ones that are, and the others are removed.
func Open(root, version string, limit int64) (*Cache, error) {
	name := "v-" + unsafe.ReplaceAllString(version, "_")
	c := &Cache{dir: filepath.Join(root, name), limit: limit}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache of package lists: %w", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("read the cache of package lists: %w", err)
	}
	for _, e := range entries {
		if e.Name() != name {
			_ = os.RemoveAll(filepath.Join(root, e.Name()))
		}
	}
	return c, nil
}

var (
	unsafe = regexp.MustCompile(`[^A-Za-z0-9.-]`)
	digest = regexp.MustCompile(`^[a-z0-9]+:[0-9a-f]{32,}$`)
)

func (c *Cache) path(d string) (string, bool) {
	if !digest.MatchString(d) {
		return "", false
	}
	return filepath.Join(c.dir, strings.ReplaceAll(d, ":", "-")+".json"), true
}

// Has says whether there is a list of a digest, for now.
func (c *Cache) Has(d string) bool {
	path, ok := c.path(d)
	if !ok {
		return false
	}
	_, err := os.Lstat(path)
	return err == nil
}

// Get links the list of a digest to a path of the caller's, so that it stays
// readable even when the cache drops it. It says whether there was one.
func (c *Cache) Get(d, to string) bool {
	from, ok := c.path(d)
	if !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if os.Link(from, to) != nil {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(from, now, now)
	return true
}

// Put moves a list into the cache. It must be on the same file system.
func (c *Cache) Put(d, from string) error {
	to, ok := c.path(d)
	if !ok {
		return fmt.Errorf("%q is not a digest", d)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	st, err := os.Lstat(from)
	if err != nil {
		return fmt.Errorf("look at a package list: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > c.limit {
		return nil
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("keep a package list: %w", err)
	}
	return c.shrink()
}

// shrink removes the least recently used lists until the rest fits.
func (c *Cache) shrink() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("read the cache of package lists: %w", err)
	}
	var lists []fs.FileInfo
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			lists = append(lists, info)
			total += info.Size()
		}
	}
	slices.SortFunc(lists, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, l := range lists {
		if total <= c.limit {
			break
		}
		if err := os.Remove(filepath.Join(c.dir, l.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop a package list: %w", err)
		}
		total -= l.Size()
	}
	return nil
}
