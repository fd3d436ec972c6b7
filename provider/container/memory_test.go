package container

import (
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	const meminfo = "MemTotal:        8388608 kB\nMemFree: 1 kB\n" // 8 GiB
	for name, tc := range map[string]struct {
		files   map[string]string
		want    int64
		limited bool
	}{
		"a machine": {nil, 8 << 30, false},
		"version 2, a namespace of its own": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20, true},
		"version 2, no limit": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 8 << 30, false},
		"version 2, a group above has the limit": {
			map[string]string{"proc/self/cgroup": "0::/system.slice/x.service\n", "sys/fs/cgroup/system.slice/memory.max": "1073741824\n",
				"sys/fs/cgroup/system.slice/x.service/memory.max": "max\n"}, 1 << 30, true},
		"version 1, the container's group on the root": {
			map[string]string{"proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/kubepods/pod1/c\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n"}, 256 << 20, true},
		"version 1, no limit": {
			map[string]string{"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8 << 30, false},
		"a limit above what there is": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "17179869184\n"}, 8 << 30, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
			for path, content := range tc.files {
				root[path] = &fstest.MapFile{Data: []byte(content)}
			}
			got, limited, err := memory(root)
			if err != nil || got != tc.want || limited != tc.limited {
				t.Errorf("%d %v %v, want %d %v", got, limited, err, tc.want, tc.limited)
			}
		})
	}
	if _, _, err := memory(fstest.MapFS{}); err == nil {
		t.Error("nothing is known of a machine without meminfo")
	}
	if n, _, err := Memory(); err == nil && n <= 0 {
		t.Errorf("this machine has %d bytes", n)
	}
}
