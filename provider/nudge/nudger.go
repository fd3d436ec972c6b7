package nudge

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/metadata"

	"github.com/imagegate/imagegate/provider/kube"
	"github.com/imagegate/imagegate/provider/owner"
)

// Nudger makes controllers try again whose Pods wait for a scan. Use New. It is
// safe for concurrent use.
type Nudger struct {
	send    send
	limiter *rate.Limiter
	metrics *metrics
	log     *slog.Logger
	refused refusals

	mu     sync.Mutex
	memory *memory
	// changed says that something may be due sooner.
	changed chan struct{}
}

// New returns a Nudger, which remembers from now on and nudges while Start runs.
// The error says what is missing of the configuration of the API server.
func New(o Options) (*Nudger, error) {
	cfg, err := kube.Config(o.Kubeconfig, userAgent)
	if err != nil {
		return nil, err
	}
	cfg.QPS = -1 // the limit is PerSecond
	client, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	return newNudger(o, through(client))
}

func newNudger(o Options, send send) (*Nudger, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	n := &Nudger{
		send:    send,
		limiter: rate.NewLimiter(rate.Limit(o.PerSecond), o.PerSecond),
		log:     o.Logger,
		memory:  newMemory(maxOwners, maxBytes),
		changed: make(chan struct{}, 1),
	}
	var err error
	if n.metrics, err = newMetrics(o.Registerer, n.remembered); err != nil {
		return nil, fmt.Errorf("registering the metrics of nudges: %w", err)
	}
	return n, nil
}

// Pending says that the owner, in that namespace, was told to wait for what key
// names. Whoever says so looks again afterwards whether that is over, and calls
// Ended if it is: an end before Pending is none of the owner's. No owner is
// nothing.
func (n *Nudger) Pending(namespace string, by owner.Reference, key string) {
	if namespace == "" || by == (owner.Reference{}) {
		return
	}
	n.mu.Lock()
	forgotten := n.memory.wait(id{namespace, by}, key, time.Now())
	n.mu.Unlock()
	n.metrics.add(resultDropped, forgotten)
}

// Ended says that what key names is over, for whoever waits for it. It costs next
// to nothing when nobody does, and may be called again.
func (n *Nudger) Ended(key string) {
	n.mu.Lock()
	n.memory.over(key, time.Now())
	n.mu.Unlock()
	n.wake()
}

func (n *Nudger) remembered() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.memory.owners)
}

// Start nudges until ctx ends and returns nil when nothing is under way any more.
func (n *Nudger) Start(ctx context.Context) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	free := make(chan struct{}, workers)
	var wg sync.WaitGroup
	defer wg.Wait()
	for n.wait(ctx, sweep.C) && n.limiter.Wait(ctx) == nil {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		// Only now, so that the turns are those of this moment.
		e := n.take()
		if e == nil {
			<-free
			continue
		}
		wg.Go(func() {
			defer func() { <-free }()
			n.nudge(ctx, e)
		})
	}
	return nil
}

// wait returns true once somebody is due, and false when ctx ends before.
func (n *Nudger) wait(ctx context.Context, sweep <-chan time.Time) bool {
	for {
		select {
		case <-sweep:
			n.sweep()
		default:
		}
		pause := n.pause()
		if pause <= 0 {
			return true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-n.changed:
		case <-sweep:
			n.sweep()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// pause is how long nobody is due.
func (n *Nudger) pause() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.memory.next()
	if !ok {
		return lifetime
	}
	return time.Until(at)
}

func (n *Nudger) sweep() {
	n.mu.Lock()
	expired := n.memory.sweep(time.Now())
	n.mu.Unlock()
	n.metrics.add(resultDropped, expired)
}

func (n *Nudger) take() *entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.memory.take(time.Now())
}

// nudge annotates the owner, or has it tried again.
func (n *Nudger) nudge(ctx context.Context, e *entry) {
	err := n.annotate(ctx, e.id)
	if err != nil && ctx.Err() != nil {
		return
	}
	result := resultOf(err)
	log := n.log.With("namespace", e.namespace, "kind", e.owner.Kind, "name", e.owner.Name)
	if result == resultFailed {
		if pause, ok := n.again(e); ok {
			log.DebugContext(ctx, "a nudge will be tried again", "in", pause, "error", err)
			return
		}
		log.WarnContext(ctx, "a controller could not be told that a scan is over; it will try by itself", "error", err)
	}
	n.settle(e)
	n.metrics.add(result, 1)
	switch resource := e.owner.Kind.Resource().GroupResource(); {
	case result == resultOK:
		n.refused.end(resource)
		log.InfoContext(ctx, "told a controller that a scan is over")
	case result == resultForbidden && n.refused.begin(resource):
		log.WarnContext(ctx, "the API server does not let the provider annotate "+resource.String()+": nudge.enabled needs the verb patch on them (RBAC)"+
			" and no admission policy against it; more of these are counted only", "error", err)
	case result == resultGone:
		log.DebugContext(ctx, "the owner of a Pod that waited is gone", "error", err)
	}
}

// again has the nudge made again after a pause, if it was not tried enough.
func (n *Nudger) again(e *entry) (pause time.Duration, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.attempt++
	if e.attempt >= attempts {
		return 0, false
	}
	pause = min(retryInitial<<(e.attempt-1), retryMax)
	n.memory.retry(e, time.Now().Add(pause))
	n.wake()
	return pause, true
}

func (n *Nudger) settle(e *entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.attempt = 0
}

// wake makes wait look again.
func (n *Nudger) wake() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}
