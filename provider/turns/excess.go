package turns

// Excess says which accounts hold more than an equal share while another waits
// that holds less than one, and how many turns more. A Share without a registry
// is a namespace over its share of all turns; one with a registry is over its
// share of that registry's. Nobody is over a share as long as nobody else needs
// it, and nobody's last turn is.
func (a *Accounts[T]) Excess() map[Share]int {
	if a.waiting == 0 {
		return nil
	}
	over := map[Share]int{}
	equal := max(1, a.limits.Turns/len(a.namespaces))
	if a.starving(equal) {
		for _, ns := range a.namespaces {
			if ns.held > equal {
				over[Share{Namespace: ns.name}] = ns.held - equal
			}
		}
	}
	for registry := range a.registries {
		a.excessOf(registry, over)
	}
	return over
}

// starving reports whether a namespace with less than an equal share waits for
// what others hold. One that waits for its own work to end does not count.
func (a *Accounts[T]) starving(equal int) bool {
	for _, ns := range a.namespaces {
		if ns.waiting > 0 && ns.held < equal && ns.held >= atMost(a.limits.Turns-(a.held-ns.held)) {
			return true
		}
	}
	return false
}

// excessOf is the same among the namespaces that share one registry's turns.
func (a *Accounts[T]) excessOf(registry string, over map[Share]int) {
	var users []*namespace[T]
	for _, ns := range a.namespaces {
		if _, ok := ns.parts[registry]; ok {
			users = append(users, ns)
		}
	}
	equal := max(1, a.limits.PerRegistry/len(users))
	starving := false
	for _, ns := range users {
		p := ns.parts[registry]
		if p.queue.Len() > 0 && p.held < equal && p.held >= atMost(a.limits.PerRegistry-(a.registries[registry]-p.held)) {
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
