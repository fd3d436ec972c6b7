// Package turns shares work that is bounded in number (look-ups, scans,
// requests) fairly: among namespaces first, and then among the registries that
// one namespace asks for. Whoever may create Pods chooses registry names by the
// hundred and makes each of them hang, so a registry alone isolates nothing; a
// namespace is given by the cluster.
//
// A turn may be held for minutes by work that hangs, so waiting for the next
// free one is not good enough. Whoever holds some already never gets the last
// that are free: there is one at once for whoever comes next.
package turns

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrCrowded means that there was no turn: too many have one or wait for one.
var ErrCrowded = errors.New("too much is under way already")

// Share is on whose account a turn goes.
type Share struct {
	// Namespace is the asker's. Those who name none share one account.
	Namespace string
	// Registry is the canonical host that the work is done with. Empty is work
	// of no particular registry, for which only the namespace counts.
	Registry string
}

// Limits bound the turns. All must be positive but where zero has a meaning.
type Limits struct {
	// Turns is how many there are at once.
	Turns int
	// PerRegistry bounds those of one registry among them, whosever they are;
	// zero: not at all.
	PerRegistry int
	// Waiting bounds those who wait for one; zero: nobody may. When it is
	// reached, the newest of whoever waits most often has to go.
	Waiting int
}

// Turns are the turns there are. It is safe for concurrent use. It remembers
// only those who have or wait for a turn.
type Turns struct {
	limits Limits

	mu            sync.Mutex
	held, waiting int
	clock         uint64 // counts turns given
	namespaces    map[string]*namespace
	registries    map[string]int // turns held of each
}

// New makes turns.
func New(l Limits) *Turns {
	if l.PerRegistry <= 0 || l.PerRegistry > l.Turns {
		l.PerRegistry = l.Turns
	}
	return &Turns{limits: l, namespaces: map[string]*namespace{}, registries: map[string]int{}}
}

// waiter is one who waits. Its channel gets nil with a turn, or why there is
// none; out is set, under the lock, once it has.
type waiter struct {
	ready chan error
	out   bool
}

// Take waits for a turn and returns what gives it back, to be called once. Its
// error is ErrCrowded when there is no room to wait, or none any more since
// others have less, and wraps ctx's beside it when that ends first.
func (t *Turns) Take(ctx context.Context, s Share) (done func(), err error) {
	t.mu.Lock()
	ns, p := t.part(s)
	if t.may(ns, p) {
		t.give(ns, p)
		t.mu.Unlock()
		return func() { t.giveBack(ns, p) }, nil
	}
	if !t.makeRoom(ns, p) {
		t.forget(ns, p)
		t.mu.Unlock()
		return nil, ErrCrowded
	}
	w := &waiter{ready: make(chan error, 1)}
	at := t.enqueue(ns, p, w)
	t.mu.Unlock()
	select {
	case err = <-w.ready:
	case <-ctx.Done():
		t.mu.Lock()
		if !w.out {
			t.dequeue(ns, p, at)
			t.forget(ns, p)
			t.mu.Unlock()
			return nil, fmt.Errorf("%w: %w", ErrCrowded, ctx.Err())
		}
		t.mu.Unlock()
		err = <-w.ready
	}
	if err != nil {
		return nil, err
	}
	return func() { t.giveBack(ns, p) }, nil
}

// TryTake returns a turn where there is one at once.
func (t *Turns) TryTake(s Share) (done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ns, p := t.part(s)
	if !t.may(ns, p) {
		t.forget(ns, p)
		return nil, false
	}
	t.give(ns, p)
	return func() { t.giveBack(ns, p) }, true
}

// Held returns how many turns are taken, Waiting how many wait for one.
func (t *Turns) Held() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held
}

// Waiting returns how many wait for a turn.
func (t *Turns) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

// atMost is how many of free turns one account may hold, those included that it
// holds: all but a quarter and at least one, while one is free for the next
// account if there are two. By this rule the first that is greedy leaves a
// quarter to the others, the second a quarter of that, and so on, so that it
// takes many accounts to leave a new one nothing.
func atMost(free int) int {
	if free <= 1 {
		return max(free, 0)
	}
	return min(free-1, (3*free+3)/4)
}

// may reports whether the account may have a turn now.
func (t *Turns) may(ns *namespace, p *part) bool {
	most := atMost(t.limits.Turns - (t.held - ns.held))
	if ns.held >= most {
		return false
	}
	if p.registry == "" {
		return true
	}
	return p.held < atMost(most-(ns.held-p.held)) &&
		p.held < atMost(t.limits.PerRegistry-(t.registries[p.registry]-p.held))
}

func (t *Turns) give(ns *namespace, p *part) {
	t.clock++
	t.held++
	ns.held++
	p.held++
	ns.served, p.served = t.clock, t.clock
	if p.registry != "" {
		t.registries[p.registry]++
	}
}

func (t *Turns) giveBack(ns *namespace, p *part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held--
	ns.held--
	p.held--
	if p.registry != "" {
		if t.registries[p.registry]--; t.registries[p.registry] == 0 {
			delete(t.registries, p.registry)
		}
	}
	t.forget(ns, p)
	t.serve()
}

// serve gives turns to those who wait as long as any of them may have one. So
// whoever waits when it returns may not, until another turn is given back.
func (t *Turns) serve() {
	for t.waiting > 0 && t.held < t.limits.Turns {
		ns, p := t.next()
		if p == nil {
			return
		}
		w := t.dequeue(ns, p, p.queue.Front())
		t.give(ns, p)
		w.ready <- nil
	}
}

// next returns who gets the next turn: of the namespaces that may have one the
// one that holds the fewest, and of these the one whose last turn is longest
// ago; within it the registry by the same rule.
func (t *Turns) next() (*namespace, *part) {
	var best *namespace
	var part *part
	for _, ns := range t.namespaces {
		if ns.waiting == 0 || best != nil && !before(ns.held, ns.served, best.held, best.served) {
			continue
		}
		if p := t.nextOf(ns); p != nil {
			best, part = ns, p
		}
	}
	return best, part
}

func (t *Turns) nextOf(ns *namespace) *part {
	var best *part
	for _, p := range ns.parts {
		if p.queue.Len() > 0 && (best == nil || before(p.held, p.served, best.held, best.served)) && t.may(ns, p) {
			best = p
		}
	}
	return best
}

func before(held int, served uint64, otherHeld int, otherServed uint64) bool {
	return held < otherHeld || held == otherHeld && served < otherServed
}

func (t *Turns) enqueue(ns *namespace, p *part, w *waiter) *list.Element {
	t.waiting++
	ns.waiting++
	return p.queue.PushBack(w)
}

func (t *Turns) dequeue(ns *namespace, p *part, at *list.Element) *waiter {
	t.waiting--
	ns.waiting--
	w, _ := p.queue.Remove(at).(*waiter)
	w.out = true
	return w
}

// makeRoom reports whether one more of the account may wait. When all places
// are taken, it sends away the newest of whoever has the most, unless that is
// the account itself: within a namespace the same goes for its registries.
func (t *Turns) makeRoom(ns *namespace, p *part) bool {
	if t.waiting < t.limits.Waiting {
		return true
	}
	most := ns
	for _, other := range t.namespaces {
		if other.waiting > most.waiting {
			most = other
		}
	}
	if most != ns && ns.waiting+1 >= most.waiting {
		most = ns
	}
	longest := p
	if most != ns {
		longest = nil
	}
	for _, other := range most.parts {
		if longest == nil || other.queue.Len() > longest.queue.Len() {
			longest = other
		}
	}
	if longest == p || most == ns && p.queue.Len()+1 >= longest.queue.Len() {
		return false
	}
	w := t.dequeue(most, longest, longest.queue.Back())
	t.forget(most, longest)
	w.ready <- ErrCrowded
	return true
}
