// Package sbomcache keeps the package lists of images that were scanned, by
// digest. A digest never changes its content, so a later scan only has to match
// the list with the database of the day.
//
// A list's own hash is part of its file's name and is checked whenever the list
// is taken out: a list that a bad disk has shortened would be an image with fewer
// packages.
package sbomcache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/scanner/internal/leastused"
)

// Cache is a directory of package lists, bounded in bytes: the least recently
// used go first.
type Cache struct {
	dir   string
	limit int64

	mu    sync.Mutex
	lists map[string]string // by the name of the digest: the list's SHA-256, in hex
}

// Open makes the directory, and removes what is no list. Lists made by another
// version of the tools are of no use: version names the ones that are, and the
// others are removed.
func Open(root, version string, limit int64) (*Cache, error) {
	name := "v-" + unsafe.ReplaceAllString(version, "_")
	c := &Cache{dir: filepath.Join(root, name), limit: limit, lists: map[string]string{}}
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
	return c, c.read()
}

// read finds the lists that an earlier run left.
func (c *Cache) read() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("read the cache of package lists: %w", err)
	}
	for _, e := range entries {
		name, sum, ok := parse(e.Name())
		// Two lists of one digest are what a crash leaves between keeping the
		// new one and dropping the old one; either will do.
		if _, twice := c.lists[name]; !ok || twice || !e.Type().IsRegular() {
			_ = os.RemoveAll(filepath.Join(c.dir, e.Name()))
			continue
		}
		c.lists[name] = sum
	}
	return nil
}

var (
	unsafe = regexp.MustCompile(`[^A-Za-z0-9.-]`)
	digest = regexp.MustCompile(`^[a-z0-9]+:[0-9a-f]{32,}$`)
	file   = regexp.MustCompile(`^([a-z0-9]+-[0-9a-f]{32,})-([0-9a-f]{64})\.json$`)
)

// nameOf writes a digest as the beginning of a file's name.
func nameOf(d string) (string, bool) {
	if !digest.MatchString(d) {
		return "", false
	}
	return strings.ReplaceAll(d, ":", "-"), true
}

func parse(name string) (of, sum string, ok bool) {
	m := file.FindStringSubmatch(name)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

func (c *Cache) path(name, sum string) string {
	return filepath.Join(c.dir, name+"-"+sum+".json")
}

// Has says whether there is a list of a digest, for now.
func (c *Cache) Has(d string) bool {
	_, _, ok := c.find(d)
	return ok
}

func (c *Cache) find(d string) (name, sum string, ok bool) {
	if name, ok = nameOf(d); !ok {
		return "", "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, ok = c.lists[name]
	return name, sum, ok
}

// Get links the list of a digest to a path of the caller's, so that it stays
// readable even when the cache drops it. It says whether there was one. A list
// that is not what it was is dropped instead.
func (c *Cache) Get(d, to string) bool {
	name, sum, ok := c.find(d)
	if !ok {
		return false
	}
	from := c.path(name, sum)
	err := os.Link(from, to)
	if err == nil {
		// The link is checked, not the entry: that one may be replaced meanwhile.
		var now string
		if now, err = sumOf(to); err == nil && now == sum {
			used := time.Now()
			_ = os.Chtimes(from, used, used)
			return true
		}
		_ = os.Remove(to)
	}
	c.drop(name, sum)
	return false
}

// Drop forgets the list of a digest.
func (c *Cache) Drop(d string) {
	if name, sum, ok := c.find(d); ok {
		c.drop(name, sum)
	}
}

// drop removes one list, unless another has taken its place.
func (c *Cache) drop(name, sum string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists[name] == sum {
		delete(c.lists, name)
		_ = os.Remove(c.path(name, sum))
	}
}

// Put moves a list into the cache. It must be on the same file system.
func (c *Cache) Put(d, from string) error {
	name, ok := nameOf(d)
	if !ok {
		return fmt.Errorf("%q is not a digest", d)
	}
	st, err := os.Lstat(from)
	if err != nil {
		return fmt.Errorf("look at a package list: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > c.limit {
		return nil
	}
	sum, err := sumOf(from)
	if err != nil {
		return fmt.Errorf("read a package list: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.Rename(from, c.path(name, sum)); err != nil {
		return fmt.Errorf("keep a package list: %w", err)
	}
	if old, ok := c.lists[name]; ok && old != sum {
		_ = os.Remove(c.path(name, old))
	}
	c.lists[name] = sum
	return c.shrink()
}

// shrink is called with the lock held.
func (c *Cache) shrink() error {
	err := leastused.Remove(c.dir, c.limit, func(f fs.FileInfo) {
		if name, sum, ok := parse(f.Name()); ok && c.lists[name] == sum {
			delete(c.lists, name)
		}
	})
	if err != nil {
		return fmt.Errorf("shrink the cache of package lists: %w", err)
	}
	return nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
