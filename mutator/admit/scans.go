package admit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
	"github.com/imagegate/imagegate/provider/wire"
)

const (
	// reserve is what a request keeps of its time for the answer to travel.
	reserve = 200 * time.Millisecond
	// grace is how much later than asked an answer may come: the provider ends
	// the wait, not the connection.
	grace = 500 * time.Millisecond
	// startTimeout bounds the question that only starts scans.
	startTimeout = 5 * time.Second
	// maxStarting bounds the detached questions, shared by namespace. One beyond
	// is dropped, for validation asks the same in a moment.
	maxStarting = 32
)

// scans asks the provider for reports ahead of validation.
type scans struct {
	provider Provider
	wait     time.Duration
	waiters  *waiters
	// starting has a turn for each detached question.
	starting *turns.Turns
	detached sync.WaitGroup
}

func newScans(provider Provider, s Settings) *scans {
	return &scans{
		provider: provider,
		wait:     s.Wait,
		waiters:  newWaiters(s.MaxWaiting),
		starting: turns.New(turns.Limits{Turns: maxStarting}),
	}
}

func (s *scans) waiting() int { return s.waiters.waiting() }

// ask waits for the reports of keys, or starts their scans and returns when
// waiting is off, when the request has no time left or when too many wait.
func (s *scans) ask(ctx context.Context, d *Decision, keys []wire.Key) {
	if len(keys) == 0 {
		return
	}
	wait := s.affordable(ctx)
	if wait <= 0 {
		s.start(ctx, keys)
		return
	}
	leave, ok := s.waiters.tryJoin(keys)
	if !ok {
		d.Wait = WaitCapped
		s.start(ctx, keys)
		return
	}
	defer leave()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, wait+grace)
	defer cancel()
	reports, err := s.provider.Reports(ctx, keys, wait)
	d.Waited = time.Since(began)
	d.Wait, d.WaitErr = result(reports, err)
}

// affordable is the configured wait, cut to what the request's deadline leaves.
func (s *scans) affordable(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return s.wait
	}
	return min(s.wait, (time.Until(deadline) - reserve).Truncate(time.Millisecond))
}

func result(reports []report.ScanReport, err error) (WaitResult, error) {
	if err != nil {
		return WaitError, err
	}
	for _, r := range reports {
		if !r.Status.Final() {
			return WaitPending, nil
		}
	}
	return WaitFinal, nil
}

// start asks without waiting for the answer.
func (s *scans) start(ctx context.Context, keys []wire.Key) {
	done, ok := s.starting.TryTake(turns.Share{Namespace: keys[0].Namespace})
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	s.detached.Go(func() {
		defer done()
		defer cancel()
		// Validation asks again and reports what is wrong.
		_, _ = s.provider.Reports(ctx, keys, 0)
	})
}

func (s *scans) close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.detached.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for questions to the provider: %w", ctx.Err())
	}
}
