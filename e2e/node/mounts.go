package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOwn takes the mounts of these namespaces out of the machine's, and mounts a
// /proc of their processes.
func mountOwn() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// settings are the sysctls that the kubelet sets, for the whole machine, and ends
// where it may not. Inside it finds files that have what it wants.
var settings = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// mount gives the node a /run, /var/lib and /var/log of its own, what grows of them
// below the state folder, and files of /etc.
func (n *Node) mount() error {
	for _, dir := range []string{"/run", "/var/lib", "/var/log"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	for _, dir := range []string{"/var/lib/kubelet", "/var/lib/containerd", "/var/lib/etcd", "/var/log/pods", "/var/log/containers"} {
		if err := bindDir(n.path(strings.TrimPrefix(dir, "/")), dir); err != nil {
			return err
		}
	}
	for name, value := range settings {
		if err := bindFile("sysctl/"+strings.ReplaceAll(name, "/", "."), value+"\n", filepath.Join("/proc/sys", name)); err != nil {
			return err
		}
	}
	// One that nothing is mounted over: else the kernel refuses Pods with a user
	// namespace a /proc of their own.
	if err := os.Mkdir("/run/proc", 0o750); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/run/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount a second /proc: %w", err)
	}
	registry, _, _ := strings.Cut(Registry, ":")
	if err := bindFile("hosts", fmt.Sprintf("127.0.0.1 localhost\n%s %s %s\n", address, Name, registry), "/etc/hosts"); err != nil {
		return err
	}
	if err := bindFile("resolv.conf", "", "/etc/resolv.conf"); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(Name)); err != nil {
		return fmt.Errorf("set the host's name: %w", err)
	}
	return nil
}

func bindDir(from, to string) error {
	for _, dir := range []string{from, to} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // containers of any user pass through
			return err
		}
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", to, err)
	}
	return nil
}

// bindFile puts a file of that content in the place of another.
func bindFile(name, content, to string) error {
	from := filepath.Join("/run/imagegate", name)
	if err := os.MkdirAll(filepath.Dir(from), 0o755); err != nil { //nolint:gosec // read by every user
		return err
	}
	if err := os.WriteFile(from, []byte(content), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", to, err)
	}
	return nil
}
