package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// wanted is how much memory a node takes with what runs on it.
const wanted = 3 << 30

// preflight says in one sentence what a node lacks here. What can be tried is tried,
// rather than guessed from versions.
func preflight(ctx context.Context, dir string) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("this is user %d, not root", os.Getuid())
	}
	for _, program := range []string{"ip", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is no %s in PATH", program)
		}
	}
	for _, needed := range []struct{ program, other string }{{"runc", "apt-get"}, {"nft", "apt-get"}} {
		_, err := exec.LookPath(needed.program)
		_, otherwise := exec.LookPath(needed.other)
		if err != nil && otherwise != nil {
			return fmt.Errorf("there is no %s in PATH, and no apt-get to fetch it", needed.program)
		}
	}
	log, err := os.Open("/dev/kmsg")
	if err != nil {
		return fmt.Errorf("the kubelet could not read /dev/kmsg: %w", err)
	}
	_ = log.Close()
	if free, err := available(); err != nil {
		return err
	} else if free < wanted {
		return fmt.Errorf("%d MiB of memory are free, %d are wanted", free>>20, wanted>>20)
	}
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		probe := filepath.Join(h, fmt.Sprintf("imagegate-preflight-%d", os.Getpid()))
		if err := errors.Join(os.Mkdir(probe, 0o750), os.Remove(probe)); err != nil {
			return fmt.Errorf("cgroups cannot be made: %w", err)
		}
	}
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(dir, "preflight", d), 0o750); err != nil {
			return err
		}
	}
	script := `set -e
mount -t overlay overlay -o "lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work" "$0/merged"
ip link add b0 type bridge
ip link add v0 type veth peer name v1`
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--fork", "--uts", "--ipc", "--propagation", "private",
		"sh", "-c", script, filepath.Join(dir, "preflight"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("namespaces with an overlay, a bridge and a veth pair cannot be made: %s", strings.TrimSpace(string(out)))
	}
	return nil
}

func available() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo does not say how much memory is free")
}

// hierarchies are the roots of the machine's cgroups: one of version 2, or one for
// each controller of version 1.
func hierarchies() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return []string{root}, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("there are no cgroups: %w", err)
	}
	var found []string
	for _, e := range entries {
		var at syscall.Statfs_t
		path := filepath.Join(root, e.Name())
		if e.IsDir() && syscall.Statfs(path, &at) == nil && (at.Type == unix.CGROUP_SUPER_MAGIC || at.Type == unix.CGROUP2_SUPER_MAGIC) {
			found = append(found, path)
		}
	}
	for _, controller := range []string{"cpu", "memory", "pids", "cpuset"} {
		if _, err := os.Stat(filepath.Join(root, controller, "cgroup.procs")); err != nil {
			return nil, fmt.Errorf("there is no cgroup controller %s", controller)
		}
	}
	return found, nil
}
