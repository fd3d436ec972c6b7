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

// Turns are the turns there are, given to those who take them. It is safe for
// concurrent use.
type Turns struct {
	mu       sync.Mutex
	accounts *Accounts[*waiter]
}

// New makes turns.
func New(l Limits) *Turns { return &Turns{accounts: NewAccounts[*waiter](l)} }

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
	if t.accounts.May(s) {
		t.accounts.Give(s)
		t.mu.Unlock()
		return func() { t.giveBack(s) }, nil
	}
	instead, ok := t.accounts.Room(s)
	if !ok {
		t.mu.Unlock()
		return nil, ErrCrowded
	}
	if instead != nil {
		t.end(instead, ErrCrowded)
	}
	w := &waiter{ready: make(chan error, 1)}
	place := t.accounts.Enter(s, w)
	t.mu.Unlock()
	select {
	case err = <-w.ready:
	case <-ctx.Done():
		t.mu.Lock()
		if !w.out {
			t.accounts.Leave(place)
			t.mu.Unlock()
			return nil, fmt.Errorf("%w: %w", ErrCrowded, ctx.Err())
		}
		t.mu.Unlock()
		err = <-w.ready
	}
	if err != nil {
		return nil, err
	}
	return func() { t.giveBack(s) }, nil
}

// TryTake returns a turn where there is one at once.
func (t *Turns) TryTake(s Share) (done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.accounts.May(s) {
		return nil, false
	}
	t.accounts.Give(s)
	return func() { t.giveBack(s) }, true
}

// Held returns how many turns are taken, Waiting how many wait for one.
func (t *Turns) Held() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accounts.Held()
}

// Waiting returns how many wait for a turn.
func (t *Turns) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accounts.Waiting()
}

// Excess is that of Accounts.
func (t *Turns) Excess() map[Share]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accounts.Excess()
}

func (t *Turns) giveBack(s Share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accounts.GiveBack(s)
	t.serve()
}

// serve gives turns to those who wait as long as any of them may have one. So
// whoever waits when it returns may not, until another turn is given back.
func (t *Turns) serve() {
	for next := t.accounts.Next(); next != nil; next = t.accounts.Next() {
		t.accounts.Give(next.Share)
		t.end(next, nil)
	}
}

// end tells one who waits that it waits no longer, with a turn or an error.
func (t *Turns) end(p *Place[*waiter], err error) {
	t.accounts.Leave(p)
	p.Item.out = true
	p.Item.ready <- err
}
