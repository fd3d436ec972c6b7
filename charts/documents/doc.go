// Package documents holds what the repository's documents say against its code: links
// lead somewhere, files, targets and tests exist under the names they are given, imports
// go the way ARCHITECTURE.md draws, and no setting, metric or message is without its
// sentence.
package documents

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Root is the repository, seen from a test of this package.
const Root = "../.."

// Markdown returns the documents of the repository by their paths in it, with slashes.
func Markdown(root string) (map[string]string, error) {
	return read(root, func(path string) bool { return strings.HasSuffix(path, ".md") })
}

// read returns those files of the repository that are wanted. What is built, cached or
// test data is passed over.
func read(root string, wanted func(path string) bool) (map[string]string, error) {
	files := map[string]string{}
	dir := os.DirFS(root)
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{"bin", "testdata"}, d.Name()) || len(d.Name()) > 1 && d.Name()[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !wanted(path) {
			return nil
		}
		text, err := fs.ReadFile(dir, path)
		if err != nil {
			return fmt.Errorf("read a file of the repository: %w", err)
		}
		files[path] = string(text)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk through the repository: %w", err)
	}
	return files, nil
}

// Sources returns the Go files below some folders, tests too if wanted.
func Sources(root string, tests bool, folders ...string) (map[string]string, error) {
	return read(root, func(path string) bool {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") && !tests {
			return false
		}
		return slices.ContainsFunc(folders, func(f string) bool { return f == "." || strings.HasPrefix(path, f+"/") })
	})
}
