package layercache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// View is what one scan sees of the cache: the entries there were when it was
// opened. It may be used by several goroutines.
type View struct {
	dir     string
	entries map[entry]struct{}
}

// Nothing is a view of a cache with nothing in it.
func Nothing() *View { return &View{} }

// Look opens a view. An empty dir is a cache with nothing in it.
func Look(dir string) (*View, error) {
	v := &View{dir: dir, entries: map[entry]struct{}{}}
	if dir == "" {
		return v, nil
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look into the cache of layers: %w", err)
	}
	for _, f := range files {
		if e, ok := parse(f.Name()); ok {
			v.entries[e] = struct{}{}
		}
	}
	return v, nil
}

// Take puts a layer at a path, as a link to the entry, and returns its size in
// bytes. It is the layer of a digest in a registry whose unpacked content has a
// SHA-256, in hex: the same layer may be read in two ways, by its type. It says
// false when the cache does not have the layer, or no longer, or not as it was:
// what does not have its content's hash is removed. Layers of more than most
// bytes are left alone.
func (v *View) Take(registry, digest, content, to string, most int64) (int64, bool) {
	e, ok := entryOf(registry, digest, content)
	if !ok {
		return 0, false
	}
	if _, ok := v.entries[e]; !ok {
		return 0, false
	}
	path := filepath.Join(v.dir, e.String())
	if os.Link(path, to) != nil {
		return 0, false
	}
	// The link is checked, not the entry: that one may be replaced meanwhile.
	size, err := check(to, e.content, most)
	if err != nil {
		_ = os.Remove(to)
		if err == errContent { //nolint:errorlint // ours, never wrapped
			_ = os.Remove(path)
		}
		return 0, false
	}
	now := time.Now()
	_ = os.Chtimes(to, now, now)
	return size, true
}

var (
	errContent = fmt.Errorf("the layer is not what it was")
	errLarge   = fmt.Errorf("the layer is too large")
)

func check(path, content string, most int64) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Size() > most {
		return 0, errLarge
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		return 0, err
	}
	if hex.EncodeToString(h.Sum(nil)) != content {
		return 0, errContent
	}
	return st.Size(), nil
}
