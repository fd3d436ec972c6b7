package replicas

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrNoDisk means that a small disk cannot be had here.
var ErrNoDisk = errors.New("a disk in memory can be mounted by root only")

// SmallDisk mounts a disk of so many bytes at dir, in memory.
func SmallDisk(dir string, bytes int64) (unmount func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mount a disk: %w", err)
	}
	err = syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return nil, ErrNoDisk
	}
	if err != nil {
		return nil, fmt.Errorf("mount a disk: %w", err)
	}
	return func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}

func free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}
