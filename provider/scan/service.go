package scan

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/imagegate/imagegate/provider/scanner"
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

	turns *turns.Turns

	// renewals are the turns of scans made again in the background.
	renewals    *turns.Turns
	refreshRate *rate.Limiter
	generations atomic.Pointer[[]scanner.Generation]

	mu   sync.Mutex
	jobs map[string]*job // by jobKey
	// leaders are the jobs that scan each image, by task.key.
	leaders map[string]*job
	// refreshing has the namespace and job of each scan that is to be renewed.
	refreshing map[string]bool
}

// maxRenewals bounds the stale scans that wait to be made again. Those beyond
// are asked for again before long.
const maxRenewals = 1024

// New returns a Service whose scans run until they end or Close is called.
func New(o Options) (*Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering the scan metrics: %w", err)
	}
	s := &Service{
		o:       o,
		metrics: m,
		turns:   turns.New(turns.Limits{Turns: o.Workers, PerRegistry: o.PerRegistry, Waiting: o.Queue}),
		jobs:    map[string]*job{},
		leaders: map[string]*job{},

		refreshing:  map[string]bool{},
		renewals:    turns.New(turns.Limits{Turns: o.Refreshers, Waiting: maxRenewals}),
		refreshRate: rate.NewLimiter(rate.Limit(float64(o.RefreshesPerMinute)/60), o.RefreshesPerMinute),
	}
	if s.failures, err = newFailures(&s.o); err != nil {
		return nil, fmt.Errorf("making the memory of failures: %w", err)
	}
	if s.refuted, err = lru.New[string, time.Time](maxRefuted); err != nil {
		return nil, fmt.Errorf("making the memory of refuted tags: %w", err)
	}
	s.root, s.stop = context.WithCancel(context.Background())
	s.wg.Go(s.patrol)
	if o.Generations != nil {
		s.wg.Go(s.followGenerations)
	}
	return s, nil
}

// Close ends all scans and returns when they have ended, or with the error of
// ctx when that comes first.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock() // no job starts once the root context is done
	s.stop()
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for running scans to end: %w", ctx.Err())
	}
}
