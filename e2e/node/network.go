package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// Name is the node's.
	Name = "node-1"
	// Registry is the one that images are pulled from, and pushed to.
	Registry = "registry.example.com:5000"

	// address is on a bridge without ports: not every kernel has dummy devices.
	address    = "10.99.0.1"
	pods       = "10.244.0.0/24"
	services   = "10.96.0.0/16"
	apiService = "10.96.0.1"
	dnsService = "10.96.0.10"
)

// connect gives the node an address, and a route for Services, so that what its own
// processes (the API server) send to a ClusterIP gets as far as kube-proxy's rules.
// There is no way out.
func (n *Node) connect() error {
	for _, command := range []string{
		"link set lo up",
		"link add node0 type bridge",
		"addr add " + address + "/24 dev node0",
		"link set node0 up",
		"route add " + services + " dev node0",
	} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil { //nolint:noctx // ends at once
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

// cni is routed, without a bridge that packets pass through: that would take a
// module of the kernel.
const cni = `{"cniVersion": "1.0.0", "name": "node", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {
    "type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "` + pods + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
`

// containerd is its configuration. restrict_oom_score_adj: lowering that score takes
// a capability that not every machine's root has.
const containerd = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "` + containerdSocket + `"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "` + Registry + `/pause:1"
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "%[1]s/certs.d"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["%[2]s"]
  conf_dir = "%[1]s/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "%[3]s"
      SystemdCgroup = false
`

const containerdSocket = "/run/containerd/containerd.sock"

// writeRuntime writes the configurations of containerd and the CNI.
func (n *Node) writeRuntime() error {
	hosts := fmt.Sprintf("server = \"https://%[1]s\"\n[host.\"https://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = %[2]q\n",
		Registry, n.path("registry", "ca.crt"))
	return errors.Join(
		n.write("containerd.toml", fmt.Sprintf(containerd, n.dir, n.programs.CNI, n.programs.Runc)),
		n.write("cni/10-node.conflist", cni),
		n.write(filepath.Join("certs.d", Registry, "hosts.toml"), hosts),
	)
}
