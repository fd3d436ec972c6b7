package process

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resident returns how much memory the child has resident, in bytes.
func (p *Process) Resident() (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.Name, err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		value, ok := strings.CutPrefix(lines.Text(), "VmRSS:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the memory of %s: %w", p.Name, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("read the memory of %s: %s does not tell", p.Name, path)
}
