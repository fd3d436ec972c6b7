package scan

import (
	"context"
	"sync"
)

// turns bounds the scans under way: in all, and those of one registry. Without
// the second bound a registry that sends its layers drop by drop would soon
// have every worker, and no image of any other registry would be scanned.
type turns struct {
	all         chan struct{}
	perRegistry int

	mu         sync.Mutex
	registries map[string]*share
}

// share is one registry's part, kept while somebody has or waits for a turn.
type share struct {
	slots chan struct{}
	users int
}

func newTurns(all, perRegistry int) *turns {
	return &turns{all: make(chan struct{}, all), perRegistry: perRegistry, registries: map[string]*share{}}
}

// take waits for a turn and returns what gives it back. When ctx ends first
// there is none, and nothing to give back.
func (t *turns) take(ctx context.Context, registry string) (done func()) {
	s := t.enter(registry)
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		t.leave(registry, s)
		return func() {}
	}
	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		<-s.slots
		t.leave(registry, s)
		return func() {}
	}
	return func() {
		<-t.all
		<-s.slots
		t.leave(registry, s)
	}
}

func (t *turns) enter(registry string) *share {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.registries[registry]
	if !ok {
		s = &share{slots: make(chan struct{}, t.perRegistry)}
		t.registries[registry] = s
	}
	s.users++
	return s
}

func (t *turns) leave(registry string, s *share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(t.registries, registry)
	}
}
