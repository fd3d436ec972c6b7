package turns

import "container/list"

// namespace is one namespace's account, kept while it has or waits for a turn.
type namespace struct {
	name          string
	held, waiting int
	served        uint64 // when it last got a turn, by the clock of Turns
	parts         map[string]*part
}

// part is the account of one registry within a namespace.
type part struct {
	registry string
	held     int
	served   uint64
	queue    list.List // of *waiter, in the order of their coming
}

// part returns the share's accounts and opens those that are not there. Whoever
// calls it gives or enqueues a turn, or forgets them.
func (t *Turns) part(s Share) (*namespace, *part) {
	ns, ok := t.namespaces[s.Namespace]
	if !ok {
		ns = &namespace{name: s.Namespace, parts: map[string]*part{}}
		t.namespaces[s.Namespace] = ns
	}
	p, ok := ns.parts[s.Registry]
	if !ok {
		p = &part{registry: s.Registry}
		ns.parts[s.Registry] = p
	}
	return ns, p
}

// forget closes accounts that nobody uses any more.
func (t *Turns) forget(ns *namespace, p *part) {
	if p.held == 0 && p.queue.Len() == 0 {
		delete(ns.parts, p.registry)
	}
	if ns.held == 0 && ns.waiting == 0 {
		delete(t.namespaces, ns.name)
	}
}

// Excess says which accounts hold more than an equal share while another waits
// that holds less than one, and how many turns more. A Share without a registry
// is a namespace over its share of all turns; one with a registry is over its
// share of that registry's. Nobody is over a share as long as nobody else needs
// it, and nobody's last turn is.
func (t *Turns) Excess() map[Share]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == 0 {
		return nil
	}
	over := map[Share]int{}
	equal := max(1, t.limits.Turns/len(t.namespaces))
	if t.starving(equal) {
		for _, ns := range t.namespaces {
			if ns.held > equal {
				over[Share{Namespace: ns.name}] = ns.held - equal
			}
		}
	}
	for registry := range t.registries {
		t.excessOf(registry, over)
	}
	return over
}

// starving reports whether a namespace with less than an equal share waits for
// what others hold. One that waits for its own work to end does not count.
func (t *Turns) starving(equal int) bool {
	for _, ns := range t.namespaces {
		if ns.waiting > 0 && ns.held < equal && ns.held >= atMost(t.limits.Turns-(t.held-ns.held)) {
			return true
		}
	}
	return false
}

// excessOf is the same among the namespaces that share one registry's turns.
func (t *Turns) excessOf(registry string, over map[Share]int) {
	var users []*namespace
	for _, ns := range t.namespaces {
		if _, ok := ns.parts[registry]; ok {
			users = append(users, ns)
		}
	}
	equal := max(1, t.limits.PerRegistry/len(users))
	starving := false
	for _, ns := range users {
		p := ns.parts[registry]
		if p.queue.Len() > 0 && p.held < equal && p.held >= atMost(t.limits.PerRegistry-(t.registries[registry]-p.held)) {
			starving = true
		}
	}
	if !starving {
		return
	}
	for _, ns := range users {
		if p := ns.parts[registry]; p.held > equal {
			over[Share{Namespace: ns.name, Registry: registry}] = p.held - equal
		}
	}
}
