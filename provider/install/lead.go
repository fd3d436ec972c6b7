package install

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/imagegate/imagegate/provider/pause"
)

// The times of the Lease are those that controllers usually have: a leader that
// does not answer is replaced within a quarter of a minute.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// lead installs while this replica has the Lease, until ctx ends.
func (i *Installer) lead(ctx context.Context) {
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(i.log.Handler()))
	lock := &ownedLock{i, &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: i.o.Namespace, Name: i.o.leaseName()},
		Client:     i.core.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: i.o.Identity},
	}}
	// A term that is over before its function has begun must not begin.
	var term sync.Mutex
	for ctx.Err() == nil {
		running, handOver := context.WithCancel(ctx)
		madeWay := false
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
			// Who ends hands over at once.
			ReleaseOnCancel: true,
			Name:            i.o.leaseName(),
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					term.Lock()
					defer term.Unlock()
					if ctx.Err() == nil {
						madeWay = i.install(ctx)
						handOver()
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			handOver()
			i.log.ErrorContext(ctx, "nobody can be elected to install", "error", err)
			return
		}
		elector.Run(running)
		handOver()
		term.Lock() // until the term's function has ended
		rest := retryPeriod
		if madeWay {
			rest = leaseDuration
		}
		term.Unlock()
		pause.For(ctx, rest)
	}
}

// install makes rounds until ctx ends: when something changed, when something is
// due, and once in a while. It ends before, with true, for a replica that is to lead
// instead.
func (i *Installer) install(ctx context.Context) (madeWay bool) {
	i.metrics.leading.Set(1)
	defer i.metrics.leading.Set(0)
	i.log.InfoContext(ctx, "this replica installs", "mode", string(i.o.Mode))
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, s := range i.watchedByLeader() {
		wg.Go(func() { follow(ctx, i.watched, s, i.log, func() { wake(i.round) }) })
	}
	tell := newTeller(i.core.CoreV1(), i.o.Namespace, i.o.Identity, i.log)
	defer tell.close()
	clear(i.settled)
	clear(i.waiting)
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		again, err := i.roundOnce(ctx, tell)
		if errors.Is(err, errClaimed) {
			i.log.InfoContext(ctx, "a replica that was started later, with other settings, installs instead")
			return true
		}
		if failures++; err == nil {
			failures = 0
		}
		if failures > 0 {
			again = min(again, min(unfinished<<min(failures-1, 8), retryMax))
		}
		pause.For(ctx, time.Until(began.Add(roundAtLeast)))
		timer := time.NewTimer(max(again, 0))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-i.round:
		}
		timer.Stop()
	}
	return false
}

// ownedLock is a Lease that goes with the installation, and is not made again after
// it.
type ownedLock struct {
	*Installer
	*resourcelock.LeaseLock
}

// Create implements resourcelock.Interface.
func (l *ownedLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	owners, err := l.owner(ctx)
	if err != nil {
		return err
	}
	spec := resourcelock.LeaderElectionRecordToLeaseSpec(&r)
	_, err = l.core.CoordinationV1().Leases(l.o.Namespace).Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.o.Namespace, Name: l.o.leaseName(), Labels: l.o.labels(), OwnerReferences: owners},
		Spec:       spec,
	}, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return refused("making Lease "+l.o.leaseName(), err)
	}
	_, _, err = l.Get(ctx) // an update needs what it updates
	return err
}
