package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// GatekeeperNamespace is where InstallGatekeeper puts it.
const GatekeeperNamespace = "gatekeeper-system"

// InstallGatekeeper installs Gatekeeper by its own chart from an image of its binary,
// as its maintainers' is one. It makes and rotates its own certificates, and its
// webhooks fail closed. The hooks of its chart, which have images of others, are left
// out.
func (n *Node) InstallGatekeeper(ctx context.Context, h Helm, values ...string) error {
	// Its chart runs it by this name.
	manager := n.path("manager")
	if err := os.Symlink(n.controllers.Gatekeeper, manager); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := n.PushProgram(ctx, manager, "gatekeeper", "1"); err != nil {
		return err
	}
	args := []string{
		"upgrade", "--install", "gatekeeper", n.programs.GatekeeperChart, "-n", GatekeeperNamespace, "--create-namespace", "--wait", "--timeout=2m",
		"--set", "replicas=1,image.repository=" + Registry + "/gatekeeper,image.release=1",
		"--set", "upgradeCRDs.enabled=false,postInstall.labelNamespace.enabled=false,postInstall.probeWebhook.enabled=false",
		"--set", "preUninstall.deleteWebhookConfigurations.enabled=false",
		"--set", "validatingWebhookFailurePolicy=Fail,validatingWebhookTimeoutSeconds=10,auditInterval=5",
		// Room for two of each in a rollout, on a small machine.
		"--set", "controllerManager.resources.requests.memory=64Mi,controllerManager.resources.requests.cpu=10m,audit.resources.requests.memory=64Mi,audit.resources.requests.cpu=10m",
	}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	if _, err := h.Run(ctx, args...); err != nil {
		return fmt.Errorf("install Gatekeeper: %w\n%s", err, n.Look(ctx, GatekeeperNamespace))
	}
	return nil
}

// Look is what an operator would look at first in a namespace in which something is
// wrong.
func (n *Node) Look(ctx context.Context, namespace string) string {
	var all string
	for _, args := range [][]string{
		{"get", "pods", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "--selector=!none", "--all-containers", "--tail=15", "--prefix", "--ignore-errors", "--max-log-requests=50"},
	} {
		out, _ := n.Kubectl.Run(ctx, nil, append([]string{"-n", namespace}, args...)...) // what it said is in out
		all += "\n" + out
	}
	return all
}
