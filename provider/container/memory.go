// Package container tells what the container or machine has to offer that the
// process runs in, so that its limits need no setting.
//
// The scanner has a copy of its own: the two are modules that do not know each
// other.
package container

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// Memory returns the bytes of memory that the process may use with all that share
// its control group: the lowest limit of the groups that it is in, of both
// versions, and no more than the machine has. limited says that it is a group's.
func Memory() (bytes int64, limited bool, err error) { return memory(os.DirFS("/")) }

func memory(root fs.FS) (int64, bool, error) {
	machine, err := machineMemory(root)
	if err != nil {
		return 0, false, err
	}
	if group := groupLimit(root); group < machine {
		return group, true, nil
	}
	return machine, false, nil
}

// machineMemory reads proc(5) meminfo, in KiB there.
func machineMemory(root fs.FS) (int64, error) {
	f, err := root.Open("proc/meminfo")
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
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: %w", err)
		}
		return kib << 10, nil
	}
	return 0, errors.Join(errors.New("/proc/meminfo does not say MemTotal"), lines.Err())
}

// groupLimit is the lowest limit of the groups from the process's own to the
// outermost that can be seen. In a container its own is usually the only one.
func groupLimit(root fs.FS) int64 {
	lowest := int64(math.MaxInt64)
	look := func(mount, group, file string) {
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			b, err := fs.ReadFile(root, path.Join(mount, dir, file))
			if err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 { // or max
					lowest = min(lowest, n)
				}
			}
			if dir == "/" {
				return
			}
		}
	}
	const v1, v2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		groups = []byte("0::/\n1:memory:/\n")
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[1] == "":
			look(v2, parts[2], "memory.max")
		default:
			for controller := range strings.SplitSeq(parts[1], ",") {
				if controller == "memory" {
					look(v1, parts[2], "memory.limit_in_bytes")
				}
			}
		}
	}
	return lowest
}
