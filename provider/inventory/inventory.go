package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"

	"github.com/imagegate/imagegate/provider/kube"
	"github.com/imagegate/imagegate/provider/pause"
)

// Inventory follows the Pods of a cluster. It is safe for concurrent use.
type Inventory struct {
	o        Options
	pods     kubernetes.Interface
	owned    metadata.Interface
	now      func() time.Time
	snapshot atomic.Pointer[Snapshot]
	// changed wakes who makes snapshots, room who lists again.
	changed, room chan struct{}

	mu      sync.Mutex
	kept    *pods
	owners  *owners
	sources map[source]*standing
}

// source is one resource that is followed. The set is closed.
type source string

const (
	sourcePods        source = "Pods"
	sourceReplicaSets source = "ReplicaSets"
	sourceJobs        source = "Jobs"
)

// standing is how a source is.
type standing struct {
	// listed says that all of it has been read once.
	listed bool
	// trouble is why it cannot be read now, since when; nil: it can.
	trouble error
	since   time.Time
}

// notRead is said before the first list.
const notRead = "the Pods of the cluster have not been read yet"

// New returns an Inventory that knows nothing until Start runs. Its error is a
// mistake in the options or in the kubeconfig.
func New(o Options) (*Inventory, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	cfg, err := kube.Config(o.Kubeconfig, userAgent)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = 0 // it would end watches; what is asked for has bounds of its own
	asProtobuf := *cfg
	asProtobuf.ContentType = "application/vnd.kubernetes.protobuf"
	asProtobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	clients, err := kubernetes.NewForConfig(&asProtobuf)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	owned, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client of metadata: %w", err)
	}
	return newInventory(o, clients, owned, time.Now)
}

func newInventory(o Options, clients kubernetes.Interface, owned metadata.Interface, now func() time.Time) (*Inventory, error) {
	i := &Inventory{
		o: o, pods: clients, owned: owned, now: now,
		changed: make(chan struct{}, 1), room: make(chan struct{}, 1),
		kept: newPods(o.MaxPods), owners: newOwners(ownersPerPod * o.MaxPods),
		sources: map[source]*standing{sourcePods: {}, sourceReplicaSets: {}, sourceJobs: {}},
	}
	i.snapshot.Store(Empty(notRead))
	if err := registerMetrics(o.Registerer, i.Snapshot); err != nil {
		return nil, fmt.Errorf("registering the inventory's metrics: %w", err)
	}
	return i, nil
}

// Snapshot returns what is known now, or was a second ago.
func (i *Inventory) Snapshot() *Snapshot { return i.snapshot.Load() }

// Start follows the cluster until ctx ends. Its error is nil.
func (i *Inventory) Start(ctx context.Context) error {
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(i.o.Logger.Handler()))
	var wg sync.WaitGroup
	wg.Go(func() { i.followPods(ctx) })
	wg.Go(func() { i.followOwners(ctx, sourceReplicaSets) })
	wg.Go(func() { i.followOwners(ctx, sourceJobs) })
	wg.Go(func() { i.makeSnapshots(ctx) })
	wg.Wait()
	return nil
}

// makeSnapshots makes one whenever something has changed.
func (i *Inventory) makeSnapshots(ctx context.Context) {
	for {
		select {
		case <-i.changed:
		case <-ctx.Done():
			return
		}
		began := i.now()
		s := i.make()
		before := i.snapshot.Swap(s)
		i.tell(ctx, before.state, s.state)
		rest := max(snapshotPause, snapshotShare*i.now().Sub(began))
		if s.state.Phase == Unknown {
			rest = unknownPause // the first that knows anything is waited for
		}
		if !pause.For(ctx, rest) {
			return
		}
	}
}

// tell logs what the inventory is worth when that has changed.
func (i *Inventory) tell(ctx context.Context, before, now State) {
	if before.Phase == now.Phase && before.OwnersByName == now.OwnersByName {
		return
	}
	level := slog.LevelInfo
	if now.Phase == Incomplete {
		level = slog.LevelWarn
	}
	i.o.Logger.Log(ctx, level, "inventory", "phase", now.Phase, "reason", now.Reason, "pods", now.Pods, "leftOut", now.LeftOut, "ownersByName", now.OwnersByName)
}

// make makes a snapshot.
func (i *Inventory) make() *Snapshot {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.sources[sourcePods].listed {
		return Empty(i.notListed())
	}
	b := newBuilder(i.owners.clone())
	for namespace, a := range i.kept.by {
		for _, r := range a.records {
			b.add(namespace, r)
		}
	}
	leftOut := i.kept.leftOut()
	return b.snapshot(i.state(len(leftOut)), leftOut)
}

func (i *Inventory) notListed() string {
	s := i.sources[sourcePods]
	if s.trouble != nil {
		return notRead + ": " + s.trouble.Error()
	}
	return notRead
}

// state is what a snapshot is worth that is made now, of which Pods of so many
// namespaces are left out. i.mu is held.
func (i *Inventory) state(namespaces int) State {
	s := State{Phase: Complete, At: i.now(), Pods: i.kept.count, LeftOut: i.kept.left, OwnersByName: i.ownersByName()}
	var reasons []string
	if s.LeftOut > 0 {
		reasons = append(reasons, fmt.Sprintf("there are more Pods than inventory.maxPods (%d) has room for: about %d of %d namespaces are left out", i.o.MaxPods, s.LeftOut, namespaces))
	}
	if p := i.sources[sourcePods]; p.trouble != nil {
		reasons = append(reasons, fmt.Sprintf("the API server could not be asked for Pods since %s: %v", p.since.UTC().Format(time.RFC3339), p.trouble))
	}
	if len(reasons) > 0 {
		s.Phase, s.Reason = Incomplete, "the inventory is incomplete: "+strings.Join(reasons, "; ")
	}
	return s
}

// ownersByName says why workloads are told by names.
func (i *Inventory) ownersByName() string {
	var reasons []string
	for _, name := range []source{sourceReplicaSets, sourceJobs} {
		switch s := i.sources[name]; {
		case s.trouble != nil:
			reasons = append(reasons, fmt.Sprintf("%s cannot be read: %v", name, s.trouble))
		case !s.listed:
			reasons = append(reasons, fmt.Sprintf("%s have not been read yet", name))
		}
	}
	if i.owners.full {
		reasons = append(reasons, fmt.Sprintf("there are more ReplicaSets and Jobs than %d for each of inventory.maxPods", ownersPerPod))
	}
	return strings.Join(slices.Compact(reasons), "; ")
}

// failed notes why a source cannot be read; nil: it can.
func (i *Inventory) failed(name source, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.sources[name]
	if (err == nil) != (s.trouble == nil) {
		s.since = i.now()
	}
	s.trouble = err
	i.wake()
}

// wake has a snapshot made.
func (i *Inventory) wake() {
	select {
	case i.changed <- struct{}{}:
	default:
	}
}
