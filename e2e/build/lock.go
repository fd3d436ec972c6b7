package build

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock waits for the exclusive lock of a file, so that a demo and a test that
// start together do not build the same thing twice.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("lock builds: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock builds: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock builds: %w", err)
	}
	return func() { _ = f.Close() }, nil
}
