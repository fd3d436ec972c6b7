// Package turns bounds the work under way: in all, and for one registry. Without
// the second bound a registry that hangs, or that sends its layers drop by drop,
// would soon have every turn, and nothing of any other registry would be looked
// up or scanned.
package turns

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrCrowded means that the registry has as much under way as it may.
var ErrCrowded = errors.New("too much is under way for the registry")

// Turns are the turns there are. It is safe for concurrent use.
type Turns struct {
	all           chan struct{}
	each, waiting int

	mu         sync.Mutex
	registries map[string]*share
}

// share is one registry's part, kept while somebody has or waits for a turn.
type share struct {
	slots chan struct{}
	users int
}

// New makes as many turns as all says, of which each registry may have each at
// once. waiting bounds those who have or wait for a turn of one registry.
func New(all, each, waiting int) *Turns {
	return &Turns{all: make(chan struct{}, all), each: each, waiting: waiting, registries: map[string]*share{}}
}

// Take waits for a turn and returns what gives it back. Its error is ErrCrowded
// when too many wait for the registry's already, or none of those is free until
// ctx ends, and else ctx's own.
func (t *Turns) Take(ctx context.Context, registry string) (done func(), err error) {
	s, ok := t.enter(registry)
	if !ok {
		return nil, ErrCrowded
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		t.leave(registry, s)
		return nil, fmt.Errorf("%w: %w", ErrCrowded, ctx.Err())
	}
	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		<-s.slots
		t.leave(registry, s)
		return nil, ctx.Err()
	}
	return func() {
		<-t.all
		<-s.slots
		t.leave(registry, s)
	}, nil
}

// Users returns how many have or wait for a turn of the registry.
func (t *Turns) Users(registry string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.registries[registry]; ok {
		return s.users
	}
	return 0
}

func (t *Turns) enter(registry string) (*share, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.registries[registry]
	if !ok {
		s = &share{slots: make(chan struct{}, t.each)}
		t.registries[registry] = s
	}
	if s.users >= t.waiting {
		return nil, false
	}
	s.users++
	return s, true
}

func (t *Turns) leave(registry string, s *share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(t.registries, registry)
	}
}
