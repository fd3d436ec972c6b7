package turns

import "container/list"

// Accounts is the reckoning of Turns by itself: who holds turns, who waits for
// one with what, and whose turn is next. It is for those who see turns given and
// given back elsewhere, as the replicas of a provider see each other's scans. It
// is not safe for concurrent use, and remembers only those who hold or wait for
// a turn.
type Accounts[T any] struct {
	limits        Limits
	held, waiting int
	clock         uint64 // counts turns given
	namespaces    map[string]*namespace[T]
	registries    map[string]int // turns held of each
}

// namespace is one namespace's account, kept while it has or waits for a turn.
type namespace[T any] struct {
	name          string
	held, waiting int
	served        uint64 // when it last got a turn, by the clock of Accounts
	parts         map[string]*part[T]
}

// part is the account of one registry within a namespace.
type part[T any] struct {
	registry string
	held     int
	served   uint64
	queue    list.List // of *Place[T], in the order of their coming
}

// Place is one who waits for a turn.
type Place[T any] struct {
	Item  T
	Share Share
	at    *list.Element // nil once it waits no longer
}

// NewAccounts makes accounts in which nobody holds or waits for a turn.
func NewAccounts[T any](l Limits) *Accounts[T] {
	a := &Accounts[T]{namespaces: map[string]*namespace[T]{}, registries: map[string]int{}}
	a.Limit(l)
	return a
}

// Limit sets other limits. What is held beyond them stays held.
func (a *Accounts[T]) Limit(l Limits) {
	if l.PerRegistry <= 0 || l.PerRegistry > l.Turns {
		l.PerRegistry = l.Turns
	}
	a.limits = l
}

// Limits returns those in force.
func (a *Accounts[T]) Limits() Limits { return a.limits }

// Held returns how many turns are taken, Waiting how many wait for one.
func (a *Accounts[T]) Held() int { return a.held }

// Waiting returns how many wait for a turn.
func (a *Accounts[T]) Waiting() int { return a.waiting }

// Enter has the share wait for a turn, behind those of its own.
func (a *Accounts[T]) Enter(s Share, item T) *Place[T] {
	ns, p := a.part(s)
	w := &Place[T]{Item: item, Share: s}
	a.waiting++
	ns.waiting++
	w.at = p.queue.PushBack(w)
	return w
}

// Leave ends the waiting. It may be called again.
func (a *Accounts[T]) Leave(w *Place[T]) {
	if w.at == nil {
		return
	}
	ns, p := a.part(w.Share)
	a.waiting--
	ns.waiting--
	p.queue.Remove(w.at)
	w.at = nil
	a.forget(ns, p)
}

// May reports whether the share may have a turn now.
func (a *Accounts[T]) May(s Share) bool {
	ns, p := a.part(s)
	defer a.forget(ns, p)
	return a.may(ns, p)
}

// Give counts a turn that the share holds from now on, whether or not it may.
func (a *Accounts[T]) Give(s Share) {
	ns, p := a.part(s)
	a.clock++
	a.held++
	ns.held++
	p.held++
	ns.served, p.served = a.clock, a.clock
	if p.registry != "" {
		a.registries[p.registry]++
	}
}

// GiveBack counts a turn that the share no longer holds.
func (a *Accounts[T]) GiveBack(s Share) {
	ns, p := a.part(s)
	a.held--
	ns.held--
	p.held--
	if p.registry != "" {
		if a.registries[p.registry]--; a.registries[p.registry] == 0 {
			delete(a.registries, p.registry)
		}
	}
	a.forget(ns, p)
}

// Next returns who gets the next turn, or nil when nobody who waits may have
// one: of the namespaces that may the one that holds the fewest, and of these the
// one whose last turn is longest ago; within it the registry by the same rule.
func (a *Accounts[T]) Next() *Place[T] {
	if a.waiting == 0 || a.held >= a.limits.Turns {
		return nil
	}
	var best *namespace[T]
	var part *part[T]
	for _, ns := range a.namespaces {
		if ns.waiting == 0 || best != nil && !before(ns.held, ns.served, best.held, best.served) {
			continue
		}
		if p := a.nextOf(ns); p != nil {
			best, part = ns, p
		}
	}
	if part == nil {
		return nil
	}
	return placeOf[T](part.queue.Front())
}

// Room reports whether one more of the share may wait. When all places are
// taken, it has to be that of the newest of whoever waits most often, which is
// returned, unless that is the account itself: within a namespace the same goes
// for its registries.
func (a *Accounts[T]) Room(s Share) (instead *Place[T], ok bool) {
	if a.waiting < a.limits.Waiting {
		return nil, true
	}
	ns, p := a.part(s)
	defer a.forget(ns, p)
	most := ns
	for _, other := range a.namespaces {
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
		return nil, false
	}
	return placeOf[T](longest.queue.Back()), true
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

func (a *Accounts[T]) may(ns *namespace[T], p *part[T]) bool {
	most := atMost(a.limits.Turns - (a.held - ns.held))
	if ns.held >= most {
		return false
	}
	if p.registry == "" {
		return true
	}
	return p.held < atMost(most-(ns.held-p.held)) &&
		p.held < atMost(a.limits.PerRegistry-(a.registries[p.registry]-p.held))
}

func (a *Accounts[T]) nextOf(ns *namespace[T]) *part[T] {
	var best *part[T]
	for _, p := range ns.parts {
		if p.queue.Len() > 0 && (best == nil || before(p.held, p.served, best.held, best.served)) && a.may(ns, p) {
			best = p
		}
	}
	return best
}

func before(held int, served uint64, otherHeld int, otherServed uint64) bool {
	return held < otherHeld || held == otherHeld && served < otherServed
}

func placeOf[T any](at *list.Element) *Place[T] {
	w, _ := at.Value.(*Place[T])
	return w
}

// part returns the share's accounts and opens those that are not there. Whoever
// calls it gives or enters a turn, or forgets them.
func (a *Accounts[T]) part(s Share) (*namespace[T], *part[T]) {
	ns, ok := a.namespaces[s.Namespace]
	if !ok {
		ns = &namespace[T]{name: s.Namespace, parts: map[string]*part[T]{}}
		a.namespaces[s.Namespace] = ns
	}
	p, ok := ns.parts[s.Registry]
	if !ok {
		p = &part[T]{registry: s.Registry}
		ns.parts[s.Registry] = p
	}
	return ns, p
}

// forget closes accounts that nobody uses any more.
func (a *Accounts[T]) forget(ns *namespace[T], p *part[T]) {
	if p.held == 0 && p.queue.Len() == 0 {
		delete(ns.parts, p.registry)
	}
	if ns.held == 0 && ns.waiting == 0 {
		delete(a.namespaces, ns.name)
	}
}
