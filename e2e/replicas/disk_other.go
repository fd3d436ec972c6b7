//go:build !linux

package replicas

import "errors"

// ErrNoDisk means that a small disk cannot be had here.
var ErrNoDisk = errors.New("a disk in memory can be mounted on Linux only")

// SmallDisk mounts a disk of so many bytes at dir, in memory.
func SmallDisk(string, int64) (unmount func() error, err error) { return nil, ErrNoDisk }

func free(string) (int64, error) { return 0, ErrNoDisk }
