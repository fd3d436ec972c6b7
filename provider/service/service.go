package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/turns"
)

// Service answers queries about images. Use New.
type Service struct {
	o        Options
	metrics  *metrics
	failures *failures
	// refuted are tags that were claimed to mean a digest and do not, and until
	// when that is not looked up again.
	refuted *lru.Cache[string, time.Time]

	// root outlives every request and ends with Close.
	root context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	queue *queue.Queue
	// drawn are answers that may be given again.
	drawn *drawn
	// rounds are those of audit.
	rounds *rounds
	// latest are the revisions of scans that ended lately, by storeKey.
	latest *lru.Cache[string, uint64]

	// renewals are the turns of scans made again in the background.
	renewals    *turns.Turns
	refreshRate *rate.Limiter
	// generations are those of the scanners of all replicas, own those of this one.
	generations, own atomic.Pointer[[]backend.Generation]

	mu sync.Mutex
	// refreshing has the namespace and job of each scan that is to be renewed.
	refreshing map[string]bool
}

// maxRenewals bounds the stale scans that wait to be made again. Those beyond
// are asked for again before long.
const maxRenewals = 1024

// New returns a Service whose scans run until they end or Close is called. What
// replicas share must be read first, by the end of ctx.
func New(ctx context.Context, o Options) (_ *Service, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Nudger == nil {
		o.Nudger = nobody{}
	}
	o.Shared.complete()
	if err := o.check(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering the scan metrics: %w", err)
	}
	s := &Service{
		o:           o,
		metrics:     m,
		drawn:       newDrawn(DrawnBytes),
		rounds:      newRounds(o.Logger, o.Now),
		refreshing:  map[string]bool{},
		renewals:    turns.New(turns.Limits{Turns: o.Refreshers, Waiting: maxRenewals}),
		refreshRate: rate.NewLimiter(rate.Limit(float64(o.RefreshesPerMinute)/60), o.RefreshesPerMinute),
	}
	s.failures = newFailures(&s.o)
	if s.refuted, err = lru.New[string, time.Time](maxRefuted); err != nil {
		return nil, fmt.Errorf("making the memory of refuted tags: %w", err)
	}
	if s.latest, err = lru.New[string, uint64](maxLatest); err != nil {
		return nil, fmt.Errorf("making the memory of finished scans: %w", err)
	}
	s.root, s.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.stop()
			s.wg.Wait()
		}
	}()
	if s.queue, err = queue.New(queue.Options{
		Bucket: o.Shared.Queue, Replica: o.Shared.Replica, Slots: o.Workers, PerRegistry: o.PerRegistry, Waiting: o.Queue,
		YieldAfter: o.YieldAfter, AbandonAfter: o.AbandonAfter, Grace: o.Grace,
		Do: s.work, Saw: s.learned, Dropped: s.dropped, Info: s.info, Logger: o.Logger, Now: o.Now,
	}); err != nil {
		return nil, err
	}
	if err := m.depth(o.Registerer, s.queue); err != nil {
		return nil, fmt.Errorf("registering the queue's metrics: %w", err)
	}
	if err := s.failures.follow(ctx, s.root, &s.wg); err != nil {
		return nil, err
	}
	if err := s.queue.Start(ctx); err != nil {
		return nil, errors.Join(err, s.queue.Close(ctx))
	}
	if o.GenerationEvery > 0 {
		s.wg.Go(s.followGenerations)
	}
	return s, nil
}

func (s *Service) dropped(why queue.Reason) {
	if why == queue.ReasonAbandoned {
		s.metrics.abandoned.Inc()
	}
}

// Queue is what is waiting and under way, on all replicas.
func (s *Service) Queue() *queue.Queue { return s.queue }

// Close lets scans end that do so within Options.Grace, hands the others back,
// and returns when all have ended, or with the error of ctx when that comes
// first.
func (s *Service) Close(ctx context.Context) error {
	err := s.queue.Close(ctx)
	s.rounds.close()
	s.stop()
	if err == nil {
		s.wg.Wait()
	}
	return err
}
