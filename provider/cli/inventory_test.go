package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/config"
)

// unreachable is a kubeconfig of an API server that is not there.
func unreachable(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := os.WriteFile(file, []byte(`
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func (r *running) measured(t *testing.T, base string, want ...string) {
	t.Helper()
	eventually(t, func() string {
		_, text := r.get(t, base+"/metrics")
		for _, line := range want {
			if !strings.Contains(text, "\n"+line+"\n") {
				return fmt.Sprintf("/metrics lacks %q", line)
			}
		}
		return ""
	})
}

// TestDenialsOutliveARestart with the embedded NATS, and an inventory that knows
// nothing keeps nobody from answering.
func TestDenialsOutliveARestart(t *testing.T) {
	w := newWorld(t)
	w.adapter.change(func(a *adapter) { a.refused["bad"] = true })
	c := w.configured(t, func(c *config.Config) {
		c.Inventory.Enabled, c.Inventory.Kubeconfig = true, unreachable(t)
	})
	first := start(t, c)
	bad, good := w.push(t, "bad"), w.push(t, "good")
	for _, user := range []string{"&user=anna&pod=p", "&user=anna&pod=p", "&user=bert&pod=q", ""} {
		if a := first.ask(t, bad, "team"+user, 20*time.Second); a.Status != "scan_failed" {
			t.Fatalf("%+v", a)
		}
	}
	if a := first.ask(t, good, "team&user=anna&pod=p", 20*time.Second); a.Status != "accepted" {
		t.Fatalf("%+v", a)
	}
	remembered := []string{`imagegate_denials{state="scan_failed"} 2`, `imagegate_denials{state="resolved"} 0`, `imagegate_inventory_phase{phase="unknown"} 1`}
	first.measured(t, "https://"+first.listen, remembered...)
	first.end(t)
	second := start(t, c)
	second.measured(t, "https://"+second.listen, remembered...)
}

// TestAWorkerHasNoInventory: nobody asks it.
func TestAWorkerHasNoInventory(t *testing.T) {
	w := newWorld(t)
	nats := natsServer(t, t.TempDir(), -1)
	worker := start(t, w.configured(t, func(c *config.Config) {
		c.Role, c.Store.NATS.URL, c.Server.Probes = config.RoleWorker, nats.ClientURL(), "127.0.0.1:0"
		c.Inventory.Enabled, c.Inventory.Kubeconfig = true, unreachable(t)
	}))
	if _, text := worker.get(t, "http://"+worker.probes+"/metrics"); strings.Contains(text, "imagegate_inventory") || strings.Contains(text, "imagegate_denials") {
		t.Error("a worker follows Pods, or remembers denials")
	}
}
