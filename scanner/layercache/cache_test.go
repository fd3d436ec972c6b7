package layercache_test

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/layercache"
)

const registry = "registry.example:5000"

func open(t *testing.T, dir string, limit int64) *layercache.Cache {
	t.Helper()
	c, err := layercache.Open(dir, limit, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// leave writes a layer as a scan leaves it, and has the cache adopt it.
func leave(t *testing.T, c *layercache.Cache, n int, content string) {
	t.Helper()
	dir := t.TempDir()
	name := layercache.Name(registry, digest(n), hashOf(content))
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Adopt(dir); err != nil {
		t.Fatal(err)
	}
}

func hashOf(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

// contentOf is the hash of a layer's content, as the cache knows it.
func contentOf(t *testing.T, dir string, n int) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*-"+strings.TrimPrefix(digest(n), "sha256:")+"-*"))
	if err != nil || len(files) == 0 {
		return hashOf("")
	}
	return files[0][len(files[0])-len(hashOf("")):]
}

// take returns the content of a layer, empty when the cache does not have it.
func take(t *testing.T, dir, registry string, n int) string {
	t.Helper()
	v, err := layercache.Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "layer")
	size, ok := v.Take(registry, digest(n), contentOf(t, dir, n), to, 1<<20)
	b, err := os.ReadFile(to)
	if ok != (err == nil) || size != int64(len(b)) {
		t.Fatalf("Take says %t and %d bytes, the file %v and %d", ok, size, err, len(b))
	}
	return string(b)
}

func TestTake(t *testing.T) {
	c := open(t, t.TempDir(), 1<<20)
	leave(t, c, 1, "one")
	if got := take(t, c.Dir(), registry, 1); got != "one" {
		t.Errorf("got %q", got)
	}
	if got := take(t, c.Dir(), "Registry.example:5000", 1); got != "one" {
		t.Errorf("hosts are the same in any case; got %q", got)
	}
	if got := take(t, c.Dir(), "other.example", 1); got != "" {
		t.Errorf("another registry's layer is %q", got)
	}
	if got := take(t, c.Dir(), registry, 2); got != "" {
		t.Errorf("an unknown layer is %q", got)
	}
	v, err := layercache.Look(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Take(registry, digest(1), hashOf("one"), filepath.Join(t.TempDir(), "x"), 2); ok {
		t.Error("a layer larger than wanted was taken")
	}
	for _, other := range []string{hashOf("two"), "", "../" + hashOf("one")[3:]} {
		if _, ok := v.Take(registry, digest(1), other, filepath.Join(t.TempDir(), "x"), 1<<20); ok {
			t.Errorf("a layer was taken for one with content %q", other)
		}
	}
	if got := take(t, c.Dir(), registry, 1); got != "one" {
		t.Errorf("a layer that was too large for one scan is gone: %q", got)
	}
}

func TestOldestGoFirst(t *testing.T) {
	c := open(t, t.TempDir(), 10)
	for n := 1; n <= 3; n++ {
		leave(t, c, n, "xxx")
		age(t, c.Dir(), n, time.Duration(10-n)*time.Hour)
	}
	take(t, c.Dir(), registry, 1) // used: now the youngest
	leave(t, c, 4, "four")        // 13 bytes in all
	if got := take(t, c.Dir(), registry, 2); got != "" {
		t.Error("the least recently used layer is still there")
	}
	for _, n := range []int{1, 3, 4} {
		if take(t, c.Dir(), registry, n) == "" {
			t.Errorf("layer %d was dropped", n)
		}
	}
	leave(t, c, 5, "larger than the whole cache")
	if take(t, c.Dir(), registry, 5) != "" || take(t, c.Dir(), registry, 1) == "" {
		t.Error("a layer larger than the cache must not push the others out")
	}
	smaller := open(t, c.Dir(), 4)
	files, err := os.ReadDir(smaller.Dir())
	if err != nil || len(files) != 1 {
		t.Errorf("a smaller cache holds %v, %v", files, err)
	}
}

// age makes the layer of a number look unused for a while.
func age(t *testing.T, dir string, n int, by time.Duration) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*-"+strings.TrimPrefix(digest(n), "sha256:")+"-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("layer %d: %v %v", n, files, err)
	}
	at := time.Now().Add(-by)
	if err := os.Chtimes(files[0], at, at); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedLayersAreDropped(t *testing.T) {
	c := open(t, t.TempDir(), 1<<20)
	leave(t, c, 1, "one")
	files, err := filepath.Glob(filepath.Join(c.Dir(), "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := take(t, c.Dir(), registry, 1); got != "" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(files[0]); !os.IsNotExist(err) {
		t.Errorf("the damaged layer is still there: %v", err)
	}
}

// A scan's directory is a stranger's: only regular files with the name of an
// entry get in, and what lies in the cache from elsewhere is removed.
func TestOnlyLayersGetIn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "partial-1"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir, 1<<20)
	from := t.TempDir()
	name := layercache.Name(registry, digest(1), hashOf("x"))
	if err := os.Symlink("/etc/passwd", filepath.Join(from, name)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(from, layercache.Name(registry, digest(2), hashOf(""))), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "other"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Adopt(from); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("the cache holds %v, %v", files, err)
	}
	if err := c.Adopt(filepath.Join(from, "none")); err != nil {
		t.Errorf("a scan that left no directory: %v", err)
	}
	if layercache.Name(registry, "sha512:00", hashOf("")) != "" {
		t.Error("a digest other than SHA-256 has a name")
	}
}

func TestLimitOfZeroKeepsNothing(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	if c.Dir() != "" {
		t.Errorf("scans are told of %q", c.Dir())
	}
	if got := take(t, c.Dir(), registry, 1); got != "" {
		t.Errorf("got %q", got)
	}
}

// Scans take while others add and push out: they get a whole layer or none.
func TestConcurrentUse(t *testing.T) {
	c := open(t, t.TempDir(), 4<<10)
	content := func(n int) string { return strings.Repeat(string(rune('a'+n)), 1<<10) }
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 20 {
				leave(t, c, n, content(n))
				if got := take(t, c.Dir(), registry, n); got != "" && got != content(n) {
					t.Errorf("layer %d is %.10q...", n, got)
				}
			}
		})
	}
	wg.Wait()
}
