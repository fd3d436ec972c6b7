package sbomcache

import (
	"os"
	"path/filepath"
	"testing"
)

// oneList is a cache below root that holds the list of digest a, made in dir.
func oneList(t *testing.T) (c *Cache, dir, root string) {
	t.Helper()
	dir = t.TempDir()
	root = filepath.Join(dir, "cache")
	c, err := Open(root, "1", 1000)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, dir, digestOf("a"), 100)
	return c, dir, root
}

// onlyFile is the one list on disk.
func onlyFile(t *testing.T, root string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("files of the cache: %v %v", found, err)
	}
	return found[0]
}

func TestDamagedListsAreDropped(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"a flipped byte": func(path string) error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw[len(raw)/2] ^= 1
			return os.WriteFile(path, raw, 0o600)
		},
		"cut off": func(path string) error { return os.Truncate(path, 10) },
		"gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			c, dir, root := oneList(t)
			if err := damage(onlyFile(t, root)); err != nil {
				t.Fatal(err)
			}
			if has(c, dir, digestOf("a")) || c.Has(digestOf("a")) {
				t.Error("a damaged list is given out")
			}
			if left, _ := filepath.Glob(filepath.Join(root, "*", "*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			put(t, c, dir, digestOf("a"), 100)
			if !has(c, dir, digestOf("a")) {
				t.Error("the digest has no list after it was listed again")
			}
		})
	}
}

func TestDroppedListsAreGone(t *testing.T) {
	c, dir, _ := oneList(t)
	c.Drop(digestOf("a"))
	c.Drop(digestOf("b"))
	if c.Has(digestOf("a")) || has(c, dir, digestOf("a")) {
		t.Error("a dropped list is there")
	}
}

// A restart finds the lists, and clears what is none.
func TestListsOutliveARestart(t *testing.T) {
	_, dir, root := oneList(t)
	stray := filepath.Join(root, "v-1", "sha256-old.json")
	if err := os.WriteFile(stray, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(root, "1", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !has(again, dir, digestOf("a")) {
		t.Error("the list is forgotten")
	}
	if _, err := os.Lstat(stray); err == nil {
		t.Error("what is no list stays")
	}
}
