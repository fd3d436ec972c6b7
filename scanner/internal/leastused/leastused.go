// Package leastused bounds a directory in bytes: the files that were used least
// recently go first. A file's time of modification is when it was last used.
package leastused

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Remove deletes files in dir until the rest has at most limit bytes, and calls
// dropped for each. Directories in dir count with their own size and are not
// expected.
func Remove(dir string, limit int64, dropped func(fs.FileInfo)) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	var total int64
	for _, e := range entries {
		// A file may go while we look.
		if info, err := e.Info(); err == nil {
			files = append(files, info)
			total += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if total <= limit {
			break
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop the least used: %w", err)
		}
		total -= f.Size()
		dropped(f)
	}
	return nil
}
