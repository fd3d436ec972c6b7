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

// watcher looks at one child.
type watcher struct {
	pid  int
	req  Request
	out  *cappedBuffer
	peak int64 // most resident memory seen, in bytes; may be read after run
}

// run kills the child's process group when a limit is passed or ctx ends, and
// says why. It returns nil when stop closes first: the child ended by itself.
func (w *watcher) run(ctx context.Context, stop <-chan struct{}) *failure.Failure {
	deadline := time.NewTimer(w.req.Limits.Timeout)
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
			why = tooLong(w.req.Limits.Timeout)
		case <-w.out.full:
			why = failure.New(failure.TooLarge, "the scan's result is larger than %s, the limit", size(w.req.Limits.Output))
		case <-memory.C:
			why = w.checkMemory()
		case <-disk.C:
			why = checkDisk(w.req.WorkDir, w.req.Limits)
		}
		if why != nil {
			killGroup(w.pid)
			return why
		}
	}
}

func tooLong(limit time.Duration) *failure.Failure {
	return failure.New(failure.Timeout, "the scan took longer than %s, the limit", limit)
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

func (w *watcher) checkMemory() *failure.Failure {
	// A child that has just ended has no figures.
	if peak, err := peakResidentBytes(w.pid); err == nil {
		w.peak = max(w.peak, peak)
	}
	if w.peak > w.req.Limits.Memory {
		return failure.New(failure.TooLarge, "the scan needs more memory than %s, the limit", size(w.req.Limits.Memory))
	}
	return nil
}

// peakResidentBytes reads the high water mark from proc(5) status, in KiB there.
// It counts what happened between two looks.
func peakResidentBytes(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		value, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("status of process %d: %w", pid, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("status of process %d has no high water mark", pid)
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
