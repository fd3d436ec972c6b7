package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// must runs kubectl for its effect.
func (n *Node) must(ctx context.Context, args ...string) error {
	if out, err := n.Kubectl.Run(ctx, nil, args...); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Helm is one of the two.
type Helm struct {
	Version int // 3 or 4
	node    *Node
}

// Helm returns that of a major version.
func (n *Node) Helm(version int) Helm { return Helm{Version: version, node: n} }

// Run runs it and returns what it printed. Charts of the registry need --ca-file.
func (h Helm) Run(ctx context.Context, args ...string) (string, error) {
	program := h.node.programs.Helm4
	if h.Version == 3 {
		program = h.node.programs.Helm3
	}
	home := h.node.path(fmt.Sprintf("helm%d", h.Version))
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+h.node.Kubectl.Kubeconfig,
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("helm %d: %s: %w\n%s", h.Version, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
