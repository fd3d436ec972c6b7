package bundled

import (
	"bufio"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
)

// scanMemory is what a scan of a large image takes. Most take a third of it; the
// few that take more are ended by the worker's own limit.
const scanMemory = 1 << 30

// affordable is the number of workers, cut to what there is memory for.
func (o Options) affordable() int {
	wanted := max(o.Workers, 1)
	memory, err := availableMemory()
	if err != nil {
		return wanted // it cannot be told here
	}
	fit := int(max(1, memory/scanMemory))
	if fit < wanted {
		o.Logger.Info("the bundled scanner runs fewer scans at once than scan.workers: there is memory for no more", "workers", fit, "memory_mib", memory>>20)
	}
	return min(wanted, fit)
}

// availableMemory is what the machine has, or the container when that is less,
// in bytes.
func availableMemory() (int64, error) {
	machine, err := machineMemory()
	if err != nil {
		return 0, err
	}
	return min(machine, containerMemory()), nil
}

// machineMemory reads proc(5) meminfo, in KiB there.
func machineMemory() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "MemTotal:" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		return kib << 10, err
	}
	return 0, errors.Join(errors.New("/proc/meminfo does not say MemTotal"), lines.Err())
}

// containerMemory reads the control group's limit, of both versions; there may
// be none.
func containerMemory() int64 {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
			return n
		}
	}
	return math.MaxInt64
}
