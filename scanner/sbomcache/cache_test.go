package sbomcache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func digestOf(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func put(t *testing.T, c *Cache, dir, d string, size int) {
	t.Helper()
	from := filepath.Join(dir, "list")
	if err := os.WriteFile(from, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(d, from); err != nil {
		t.Fatal(err)
	}
}

func has(c *Cache, dir, d string) bool {
	to := filepath.Join(dir, "copy-"+d[7:9])
	defer func() { _ = os.Remove(to) }()
	return c.Get(d, to)
}

func TestLeastRecentlyUsedGoFirst(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(filepath.Join(dir, "cache"), "1-v1.2.3", 250)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"a", "b"} {
		put(t, c, dir, digestOf(d), 100)
		time.Sleep(10 * time.Millisecond) // times of files are the order
	}
	if !has(c, dir, digestOf("a")) || has(c, dir, digestOf("c")) {
		t.Fatal("the cache does not hold what was put there")
	}
	time.Sleep(10 * time.Millisecond)
	put(t, c, dir, digestOf("c"), 100)
	if !has(c, dir, digestOf("a")) || has(c, dir, digestOf("b")) || !has(c, dir, digestOf("c")) {
		t.Error("b was used least recently and should be gone, a and c not")
	}
	put(t, c, dir, digestOf("d"), 300)
	if has(c, dir, digestOf("d")) {
		t.Error("a list larger than the cache is kept")
	}
}

func TestOtherVersionsAreForgotten(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "cache")
	old, err := Open(root, "1/../v1", 1000)
	if err != nil {
		t.Fatal(err)
	}
	put(t, old, dir, digestOf("a"), 10)
	c, err := Open(root, "2", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if has(c, dir, digestOf("a")) {
		t.Error("a list of another version is used")
	}
	if entries, _ := os.ReadDir(root); len(entries) != 1 {
		t.Errorf("%d versions are on disk", len(entries))
	}
}

func TestOnlyDigestsName(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, "1", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"", "sha256:../../etc/passwd", "latest"} {
		if c.Get(d, filepath.Join(dir, "x")) || c.Put(d, "nothing") == nil {
			t.Errorf("%q names a list", d)
		}
	}
}
