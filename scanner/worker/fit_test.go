package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func fitted(t *testing.T, r room, change func(*Config)) (Config, error) {
	t.Helper()
	c := Default()
	c.CacheDir = "/cache"
	if change != nil {
		change(&c)
	}
	if err := c.fitMemory(r); err != nil {
		return c, err
	}
	return c, c.fitDisk(r)
}

func TestALargeMachineGivesEachScanItsMost(t *testing.T) {
	c, err := fitted(t, room{memory: 64 * gib, disk: 200 * gib}, func(c *Config) { c.Jobs.Workers = 4 })
	if err != nil {
		t.Fatal(err)
	}
	if c.Limits.Memory != 2*gib || c.Limits.Disk != 10*gib || c.Limits.File != 4*gib || c.LayerCacheBytes != 4*gib || c.SBOMCacheBytes != gib {
		t.Errorf("sizes: %+v %d %d", c.Limits, c.LayerCacheBytes, c.SBOMCacheBytes)
	}
}

// All that the parts may take together is within what there is, however small.
func TestTheSumFits(t *testing.T) {
	for _, memory := range []int64{512 * mib, gib, 2 * gib, 3 * gib} {
		for _, workers := range []int{1, 2} {
			for _, disk := range []int64{4 * gib, 8 * gib, 30 * gib} {
				c, err := fitted(t, room{memory: memory, limited: true, disk: 100 * gib}, func(c *Config) { c.Jobs.Workers, c.Disk = workers, disk })
				if err != nil {
					if memory == 512*mib && workers == 2 && strings.Contains(err.Error(), "--workers") {
						continue
					}
					t.Fatalf("%d MiB, %d workers: %v", memory/mib, workers, err)
				}
				if sum := c.own + int64(workers)*c.Limits.Memory; sum > memory || c.Limits.Memory < leastScanMemory {
					t.Errorf("%d scans of %d MiB and %d MiB are not within %d MiB", workers, c.Limits.Memory/mib, c.own/mib, memory/mib)
				}
				if sum := databaseDisk + c.LayerCacheBytes + c.SBOMCacheBytes + int64(workers)*c.Limits.Disk; sum > disk || c.Limits.File > c.Limits.Disk {
					t.Errorf("%d MiB of disk are not within %d MiB: %+v", sum/mib, disk/mib, c.Limits)
				}
				if err := c.Validate(); err != nil {
					t.Errorf("%d MiB, %d workers, %d MiB of disk: %v", memory/mib, workers, disk/mib, err)
				}
			}
		}
	}
}

func TestWhatIsSetStays(t *testing.T) {
	c, err := fitted(t, room{memory: 512 * mib, limited: true, disk: 8 * gib}, func(c *Config) {
		c.Limits.Memory, c.Limits.Disk, c.Limits.File, c.LayerCacheBytes, c.SBOMCacheBytes = 3*gib, gib, 2*gib, 0, 7
	})
	if err != nil || c.Limits.Memory != 3*gib || c.Limits.Disk != gib || c.Limits.File != 2*gib || c.LayerCacheBytes != 0 || c.SBOMCacheBytes != 7 {
		t.Errorf("%+v %v", c, err)
	}
}

func TestTooLittleIsAnErrorThatNamesTheSetting(t *testing.T) {
	for _, tc := range []struct {
		room   room
		change func(*Config)
		want   string
	}{
		{room{memory: 256 * mib, limited: true, disk: 99 * gib}, nil, "--workers: 256 MiB of memory, the container's limit, is too little for 1 scans at once: it takes 439 MiB"},
		{room{memory: 99 * gib, disk: 99 * gib}, func(c *Config) { c.Memory = 300 * mib }, "--memory"},
		{room{memory: 99 * gib, disk: 99 * gib}, func(c *Config) { c.Disk = 3 * gib }, "--disk: 3072 MiB is too little: it takes 3983 MiB"},
	} {
		if _, err := fitted(t, tc.room, tc.change); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %q", err, tc.want)
		}
	}
	// What it says is enough is enough.
	if _, err := fitted(t, room{memory: 439 * mib, limited: true, disk: 99 * gib}, nil); err != nil {
		t.Error(err)
	}
}

func TestTheDatabaseTakesWhatItTakes(t *testing.T) {
	set := func(change func(*Config)) int64 {
		c, err := fitted(t, room{memory: 8 * gib, disk: 99 * gib}, func(c *Config) { c.Disk = 6 * gib; change(c) })
		if err != nil {
			t.Fatal(err)
		}
		return c.Limits.Disk
	}
	own, sample, elsewhere := set(func(*Config) {}), set(func(c *Config) { c.Database.Sample = true }), set(func(c *Config) { c.Database.Dir = "/db" })
	if own >= sample || sample >= elsewhere {
		t.Errorf("a scan has %d, %d with the sample, %d with a database elsewhere", own, sample, elsewhere)
	}
}

// A worker that starts again over a full cache has the same room.
func TestWhatIsThereAlreadyCounts(t *testing.T) {
	dir := t.TempDir()
	before, err := free(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 64*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := free(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("free with 64 MiB in it: %d MiB less", (before-after)/mib)
	if _, err := free(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there has room")
	}
}
