package cli

import (
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/inventory"
)

// denialsMarkers is how long the bucket of denials keeps what was removed, which is
// at most denials' writes a second.
const denialsMarkers = 5 * time.Minute

// followInventory has a server know which images run where beside its requests,
// where that is on. A worker is asked by nobody.
func (p *parts) followInventory(c *config.Config) error {
	if !c.Inventory.Enabled || !c.Role.Answers() || p.ends {
		return nil
	}
	i, err := inventory.New(inventory.Options{
		Kubeconfig: c.Inventory.Kubeconfig, MaxPods: c.Inventory.MaxPods, Logger: p.log, Registerer: p.metrics,
	})
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	p.inventory = i
	p.background = append(p.background, i.Start)
	return nil
}

// rememberDenials returns what remembers what was not let in, or nil where that is
// off. open opens a bucket.
func (p *parts) rememberDenials(c *config.Config, open func(string, bus.BucketOptions) (bucket.Bucket, error)) (*denials.Record, error) {
	if !c.Inventory.Enabled || !c.Role.Answers() {
		return nil, nil
	}
	b, err := open("denials", bus.BucketOptions{
		MaxBytes: denialsBytes(c), MarkerTTL: denialsMarkers,
		// What nobody can read ends by itself.
		MaxAge: c.Inventory.Denials.KeepFor.Duration + 24*time.Hour,
	})
	if err != nil {
		return nil, err
	}
	return denials.New(denials.Options{
		Bucket: b, Bytes: c.Inventory.Denials.Bytes, KeepFor: c.Inventory.Denials.KeepFor.Duration, Logger: p.log, Registerer: p.metrics,
	})
}

// denialsBytes is what the bucket of denials may take: what is in memory, which is
// exceeded by what is written meanwhile.
func denialsBytes(c *config.Config) int64 {
	if !c.Inventory.Enabled {
		return 0
	}
	return 2*int64(c.Inventory.Denials.Bytes) + spareBytes/8
}
