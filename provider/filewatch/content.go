package filewatch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
)

// maxFileBytes bounds what is read of one file: a bundle of every public CA is
// about 250 KiB.
const maxFileBytes = 4 << 20

// Content is a value parsed from one or more files that change together. It
// may be used by any number of goroutines.
type Content[T any] struct {
	name  string
	files []string
	parse func(contents [][]byte) (T, error)

	// reloading is held by the one Reload under way. Parsing may take seconds, in
	// which Get answers with what was parsed before.
	reloading sync.Mutex

	mu      sync.Mutex
	sum     [sha256.Size]byte
	current *T
	err     error
}

// New returns a Content that has not been read yet. The name completes
// "loading the ..." in errors; parse gets what is in the files, in their order.
func New[T any](name string, files []string, parse func(contents [][]byte) (T, error)) *Content[T] {
	return &Content[T]{name: name, files: files, parse: parse}
}

// Name returns what the content is called.
func (c *Content[T]) Name() string { return c.name }

// Files returns the files that the content is made of.
func (c *Content[T]) Files() []string { return c.files }

// Reload reads the files. It reports whether the value changed, and an error
// only the first time that one is seen, so that a file broken for an hour is
// one line in the log. Nobody who asks for the value waits for it.
func (c *Content[T]) Reload() (changed bool, err error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	contents, err := readAll(c.files)
	if err != nil {
		return false, c.fail(err)
	}
	sum := fingerprint(contents)
	if c.unchanged(sum) {
		return false, nil
	}
	next, err := c.parse(contents)
	if err != nil {
		return false, c.fail(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum, c.current, c.err = sum, &next, nil
	return true, nil
}

// unchanged reports whether what is in the files is what is in use.
func (c *Content[T]) unchanged(sum [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || sum != c.sum {
		return false
	}
	c.err = nil
	return true
}

func (c *Content[T]) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = fmt.Errorf("loading the %s: %w", c.name, err)
	if c.err != nil && c.err.Error() == err.Error() {
		return nil
	}
	c.err = err
	return err
}

// Get returns the value in use, or why there is none.
func (c *Content[T]) Get() (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return *c.current, nil
	}
	var none T
	if c.err != nil {
		return none, c.err
	}
	return none, errors.New("the " + c.name + " is not loaded yet")
}

// Failing reports whether the files, as they are now, cannot be used.
func (c *Content[T]) Failing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// fingerprint tells contents apart, however they are divided into files.
func fingerprint(contents [][]byte) [sha256.Size]byte {
	sums := make([][]byte, len(contents))
	for i, b := range contents {
		sum := sha256.Sum256(b)
		sums[i] = sum[:]
	}
	return sha256.Sum256(bytes.Join(sums, nil))
}

func readAll(files []string) ([][]byte, error) {
	contents := make([][]byte, len(files))
	for i, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
			return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", f, maxFileBytes)
		}
		if contents[i], err = os.ReadFile(f); err != nil {
			return nil, err
		}
	}
	return contents, nil
}
