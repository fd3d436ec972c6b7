package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// SetupError is one that starting again would not cure.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SetupError) Unwrap() error { return e.Err }

// besideDir holds the directories of workers that run beside the one that has the
// cache directory.
const besideDir = "beside"

// lockIn makes a directory and takes it. The error is EWOULDBLOCK when somebody has it.
func lockIn(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cache directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("lock the cache directory: %w", err)
	}
	return lock, nil
}

// claimBeside takes a directory of our own below the cache directory of the worker
// that is there, whose database is used. There is one scan at a time, without what
// only pays for many: memory and disk are that worker's.
func (w *Worker) claimBeside() error {
	owner := w.cfg.CacheDir
	all := filepath.Join(owner, besideDir)
	if err := os.MkdirAll(all, 0o700); err != nil {
		return fmt.Errorf("make a directory below the cache directory: %w", err)
	}
	dir, err := os.MkdirTemp(all, "")
	if err != nil {
		return fmt.Errorf("make a directory below the cache directory: %w", err)
	}
	if w.lock, err = lockIn(dir); err != nil {
		return err
	}
	if w.cfg.Database.Dir == "" {
		w.cfg.Database.Dir = filepath.Join(owner, "db")
	}
	w.cfg.Database.Beside, w.cfg.Database.Dir = w.cfg.Database.Dir, filepath.Join(dir, "db")
	w.cfg.CacheDir, w.cfg.beside = dir, true
	w.cfg.Jobs.Workers, w.cfg.LayerCacheBytes = 1, 0
	w.log.Info("another worker has the cache directory: this one works beside it, with its vulnerability database", "cache_dir", owner)
	return nil
}

// release gives the directory back, and removes it where it was for this once.
func (w *Worker) release() {
	if w.cfg.beside {
		if err := os.RemoveAll(w.cfg.CacheDir); err != nil {
			w.log.Warn("the worker's directory could not be removed", "dir", w.cfg.CacheDir, "error", err)
		}
	}
	_ = w.lock.Close() // nothing is written to it
}

// sweepBeside removes what workers left that were killed.
func sweepBeside(cacheDir string) {
	dirs, err := filepath.Glob(filepath.Join(cacheDir, besideDir, "*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		// One that is new may be about to be locked.
		if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := lockIn(dir)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		}
		_ = os.RemoveAll(dir) // tried again by the next worker
		if err == nil {
			_ = lock.Close()
		}
	}
}
