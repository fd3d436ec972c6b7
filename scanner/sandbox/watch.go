package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
)

// How often a child is looked at. Memory grows faster than disk and is cheaper
// to read.
const (
	memoryEvery = 20 * time.Millisecond
	diskEvery   = 100 * time.Millisecond
)

// watch kills the child's process group when a limit is passed or ctx ends, and
// says why. It returns nil when stop closes first: the child ended by itself.
func watch(ctx context.Context, stop <-chan struct{}, pid int, req Request, out *cappedBuffer) *failure.Failure {
	deadline := time.NewTimer(req.Limits.Timeout)
	defer deadline.Stop()
	memory := time.NewTicker(memoryEvery)
	defer memory.Stop()
	disk := time.NewTicker(diskEvery)
	defer disk.Stop()
	for {
		var why *failure.Failure
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			why = cancelled(ctx)
		case <-deadline.C:
			why = failure.New(failure.Timeout, "the scan took longer than %s, the limit", req.Limits.Timeout)
		case <-out.full:
			why = failure.New(failure.TooLarge, "the scan's result is larger than %s, the limit", size(req.Limits.Output))
		case <-memory.C:
			why = checkMemory(pid, req.Limits)
		case <-disk.C:
			why = checkDisk(req.WorkDir, req.Limits)
		}
		if why != nil {
			killGroup(pid)
			return why
		}
	}
}

func cancelled(ctx context.Context) *failure.Failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failure.New(failure.Timeout, "the scan did not end in time")
	}
	return failure.New(failure.Stopped, "the scanner worker is stopping; ask again")
}

func killGroup(pid int) {
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

func checkMemory(pid int, l Limits) *failure.Failure {
	// A child that has just ended has no figures.
	if rss, err := residentBytes(pid); err == nil && rss > l.Memory {
		return failure.New(failure.TooLarge, "the scan needs more memory than %s, the limit", size(l.Memory))
	}
	return nil
}

// residentBytes reads proc(5) statm: sizes in pages, the second is resident.
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm of process %d has %d fields", pid, len(fields))
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("statm of process %d: %w", pid, err)
	}
	return pages * int64(os.Getpagesize()), nil
}

func checkDisk(dir string, l Limits) *failure.Failure {
	bytes, files := usage(dir)
	switch {
	case bytes > l.Disk:
		return failure.New(failure.TooLarge, "the image unpacks to more than %s, the limit on disk space", size(l.Disk))
	case files > l.Files:
		return failure.New(failure.TooLarge, "the scan made more than %d files, the limit", l.Files)
	default:
		return nil
	}
}

// usage adds up what a directory holds on disk. Files come and go while it
// looks, so errors are skipped.
func usage(dir string) (bytes int64, files int) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
			bytes += blocks(d)
		}
		return nil
	})
	return bytes, files
}

// blocks is what a file takes on disk; a sparse one takes less than its size.
func blocks(d fs.DirEntry) int64 {
	info, err := d.Info()
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Size()
	}
	return st.Blocks * 512
}

// size writes bytes for people.
func size(n int64) string {
	const kib = 1024
	switch {
	case n >= kib*kib*kib:
		return trimZero(float64(n)/(kib*kib*kib)) + " GiB"
	case n >= kib*kib:
		return trimZero(float64(n)/(kib*kib)) + " MiB"
	default:
		return strconv.FormatInt(n, 10) + " bytes"
	}
}

func trimZero(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}
