package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/imagegate/imagegate/scanner/internal/container"
)

// Fit stands for a size that is chosen to fit: what is there is divided, and no
// more is taken than is of use.
const Fit = -1

// What a worker takes beside its scans, and what a scan should have at least. Most
// images take some 300 MiB of memory, large ones a GiB.
const (
	ownMemory        = 128 * mib
	leastScanMemory  = 256 * mib
	mostScanMemory   = 2 * gib
	mostScanDisk     = 10 * gib
	mostFile         = 4 * gib
	mostLayers       = 4 * gib
	mostLists        = gib
	leastDisk        = 512 * mib // beside the database
	databaseDisk     = 3 * gib   // two copies, and the archive of which the second is made
	importedDatabase = 64 * mib  // the sample, which is built in place
)

// room is what there is.
type room struct {
	memory int64
	// limited says that the memory is the container's, not the machine's.
	limited bool
	disk    int64
}

// fit chooses the sizes that are left to it, once the cache directory is there.
// When what is given cannot do it is an error that says how much could.
func (c *Config) fit() error {
	var r room
	var err error
	if r.memory, r.limited, err = container.Memory(); err != nil {
		r.memory = 2 * mostScanMemory * int64(c.Jobs.Workers) // it cannot be told here
	}
	if r.disk, err = free(c.CacheDir); err != nil {
		return fmt.Errorf("measure the disk of the cache directory: %w", err)
	}
	if c.beside && r.limited {
		// The container is another worker's too.
		r.memory /= 4
		if c.Memory != Fit {
			c.Memory /= 4
		}
	}
	return errors.Join(c.fitMemory(r), c.fitDisk(r))
}

// fitMemory divides the memory between the worker itself, with the reports that it
// remembers, and its scans.
func (c *Config) fitMemory(r room) error {
	whose := "the container's limit"
	if !r.limited {
		whose = "what the machine has"
	}
	memory := c.Memory
	if memory == Fit {
		memory = r.memory
	} else {
		whose = "--memory"
	}
	workers := int64(c.Jobs.Workers)
	c.Jobs.ResultBytes = min(c.Jobs.ResultBytes, memory/8)
	c.own = ownMemory + c.Jobs.ResultBytes
	if c.Limits.Memory != Fit {
		return nil // somebody knows better
	}
	c.Limits.Memory = min(mostScanMemory, (memory-c.own)/workers)
	if c.Limits.Memory < leastScanMemory {
		// An eighth goes to reports.
		need := (ownMemory + workers*leastScanMemory) / 7 * 8
		return fmt.Errorf("--workers: %s of memory, %s, is too little for %d scans at once: it takes %s, or fewer workers, or --memory-limit",
			mebibytes(memory), whose, workers, mebibytes(need+mib-1))
	}
	return nil
}

// fitDisk divides the disk between the database, what is kept, and the scans.
func (c *Config) fitDisk(r room) error {
	database := int64(databaseDisk)
	switch {
	case c.Database.Dir != "" && c.Database.Dir != filepath.Join(c.CacheDir, "db"):
		database = 0 // it is elsewhere
	case c.Database.Sample:
		database = importedDatabase
	}
	disk := c.Disk
	if disk == Fit {
		disk = max(r.disk, (database+leastDisk)/9*10+1) // less may still do
	}
	// A tenth is for what is not the content of files, and for others.
	left := disk/10*9 - database
	if left < leastDisk {
		return fmt.Errorf("--disk: %s is too little: it takes %s, and %s of that for the vulnerability database",
			mebibytes(disk), mebibytes((database+leastDisk)/9*10+mib), mebibytes(database))
	}
	choose(&c.LayerCacheBytes, min(mostLayers, left/4))
	choose(&c.SBOMCacheBytes, min(mostLists, left/8))
	choose(&c.Limits.Disk, min(mostScanDisk, max(mib, (left-c.LayerCacheBytes-c.SBOMCacheBytes)/int64(c.Jobs.Workers))))
	choose(&c.Limits.File, min(mostFile, c.Limits.Disk))
	return nil
}

func choose(size *int64, fitting int64) {
	if *size == Fit {
		*size = fitting
	}
}

// free is what a directory's file system has left, with what the directory has
// already.
func free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	sum := int64(st.Bavail) * st.Bsize
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // what cannot be read is not counted
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum, nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n/mib) }
