package cli

import (
	"fmt"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/nudge"
	"github.com/imagegate/imagegate/provider/service"
)

// nudger returns what tells controllers that a scan is over, which a server runs
// beside its requests, or nil where that is off, and for a worker, which has told
// nobody to wait.
func (p *parts) nudger(c *config.Config) (service.Nudger, error) {
	if !c.Nudge.Enabled || !c.Role.Answers() {
		return nil, nil
	}
	n, err := nudge.New(nudge.Options{
		Kubeconfig: c.Nudge.Kubeconfig,
		PerSecond:  c.Nudge.PerSecond,
		Logger:     p.log,
		Registerer: p.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("nudge: %w", err)
	}
	p.background = append(p.background, n.Start)
	return n, nil
}
