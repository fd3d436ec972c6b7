package inventory

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure an Inventory. All but Kubeconfig are required.
type Options struct {
	// Kubeconfig says how to reach the API server; empty within the cluster.
	Kubeconfig string
	// MaxPods bounds the Pods that are kept, and with 2 KiB for each what they may
	// take together. Beyond it the inventory is Incomplete.
	MaxPods    int
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (o *Options) check() error {
	switch {
	case o.MaxPods <= 0:
		return errors.New("inventory option MaxPods must be greater than zero")
	case o.Logger == nil || o.Registerer == nil:
		return errors.New("inventory option Logger or Registerer is missing")
	}
	return nil
}

const (
	userAgent = "imagegate-inventory"
	// pageSize is how many objects one page of a list has, pageTimeout how long the
	// API server may take for it.
	pageSize    = 500
	pageTimeout = 30 * time.Second
	// ownersPerPod bounds the ReplicaSets and Jobs: a Deployment keeps ten old
	// ReplicaSets by default.
	ownersPerPod = 4
	// snapshotPause is at least between two snapshots, and snapshotShare times as
	// long as the last one took to make.
	snapshotPause = time.Second
	unknownPause  = 50 * time.Millisecond
	snapshotShare = 20
	// relistPause is at least between two lists that are made because what was left
	// out may fit by now.
	relistPause = time.Minute
)
