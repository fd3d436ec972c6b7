package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// sharedLookups bounds the look-ups under way in all, hostLookups those of
	// one registry among them, and hostWaiting those and the ones that wait for
	// their turn: they outlive their askers.
	sharedLookups = 512
	hostLookups   = 64
	hostWaiting   = 512
)

// errCrowded means that nothing was asked of the registry.
var errCrowded = errors.New("too many look-ups are under way")

// shares bounds the look-ups under way: in all, and those of one registry.
// Without the second bound a registry that hangs would soon have all of them,
// and no image of any other registry would be looked up.
type shares struct {
	all           chan struct{}
	each, waiting int

	mu    sync.Mutex
	hosts map[string]*share
}

// share is one registry's part, kept while somebody has or waits for a turn.
type share struct {
	slots chan struct{}
	users int
}

func newShares(all, each, waiting int) *shares {
	return &shares{all: make(chan struct{}, all), each: each, waiting: waiting, hosts: map[string]*share{}}
}

// take waits for a turn and returns what gives it back. It is errCrowded when
// too many wait for one of the registry's already, or none of those is free
// until ctx ends, and else ctx's own error.
func (s *shares) take(ctx context.Context, host string) (done func(), err error) {
	h, ok := s.enter(host)
	if !ok {
		return nil, errCrowded
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		s.leave(host, h)
		return nil, fmt.Errorf("%w: %w", errCrowded, ctx.Err())
	}
	select {
	case s.all <- struct{}{}:
	case <-ctx.Done():
		<-h.slots
		s.leave(host, h)
		return nil, ctx.Err()
	}
	return func() {
		<-s.all
		<-h.slots
		s.leave(host, h)
	}, nil
}

func (s *shares) enter(host string) (*share, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.hosts[host]
	if !ok {
		h = &share{slots: make(chan struct{}, s.each)}
		s.hosts[host] = h
	}
	if h.users >= s.waiting {
		return nil, false
	}
	h.users++
	return h, true
}

func (s *shares) leave(host string, h *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(s.hosts, host)
	}
}

// noTurn says that the registry was not even asked.
func (t target) noTurn(err error) *report.Failure {
	if errors.Is(err, errCrowded) {
		return &report.Failure{
			Reason:  report.ReasonUnavailable,
			Message: fmt.Sprintf("too many look-ups of registry %s are under way; try again shortly", t.host()),
			Err:     err,
		}
	}
	return t.slow(err)
}
