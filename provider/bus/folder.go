package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// lockFolder makes this process the only one that uses a folder, until the file
// is closed or the process ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another process; each needs a folder of its own", dir)
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// disk is the one that a folder is on.
type disk struct {
	dir   string
	least int64 // bytes to leave free

	mu    sync.Mutex
	asked time.Time
	full  error
}

// askEvery is how long an answer counts. What may be written meanwhile is far less
// than what is left free.
const askEvery = 250 * time.Millisecond

// check returns why nothing may be written to the disk.
func (d *disk) check() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.asked) < askEvery {
		return d.full
	}
	d.asked, d.full = time.Now(), nil
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		d.full = fmt.Errorf("the disk of %s cannot be asked for its room: %w", d.dir, err)
	} else if free := int64(s.Bavail) * int64(s.Bsize); free < d.least { //nolint:unconvert // other systems have other types
		d.full = fmt.Errorf("the disk of %s has %d MiB left, and nothing is written below %d MiB; what is there is still read", d.dir, free>>20, d.least>>20)
	}
	return d.full
}
