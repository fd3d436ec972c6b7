package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroups are the folders below which the kubelet makes its own, one in each
// hierarchy. They are all that outlives the namespaces.
type cgroups []string

func makeCgroups(name string) (cgroups, error) {
	roots, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var made cgroups
	for _, root := range roots {
		dir := filepath.Join(root, name)
		if offered, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil {
			// The kubelet wants these below its root and enables none above it.
			for c := range strings.FieldsSeq(string(offered)) {
				if slices.Contains([]string{"cpu", "cpuset", "memory", "pids", "hugetlb", "io"}, c) {
					_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+c), 0o600) // its absence is the kubelet's to name
				}
			}
		}
		if err := os.Mkdir(dir, 0o750); err != nil {
			return nil, errors.Join(fmt.Errorf("make a cgroup: %w", err), made.remove())
		}
		made = append(made, dir)
		// Of version 1: a new group has no processor and no memory until it is told.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			above, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), above, 0o600); err != nil {
				return nil, errors.Join(fmt.Errorf("give a cgroup its processors: %w", err), made.remove())
			}
		}
	}
	return made, nil
}

// remove removes them, once the last process in them is gone.
func (c cgroups) remove() error {
	var left error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		left = nil
		for _, dir := range c {
			var below []string
			_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // what is gone already is no error
				if err == nil && e.IsDir() {
					below = append(below, path)
				}
				return nil
			})
			for _, path := range slices.Backward(below) {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					left = fmt.Errorf("remove the cgroups: %w", err)
				}
			}
		}
		if left == nil {
			return nil
		}
	}
	return left
}
