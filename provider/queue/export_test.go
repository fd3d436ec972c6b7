package queue

// Sizes are those of all that a queue has in memory.
func (q *Queue) Sizes() map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return map[string]int{"asks": len(q.asks), "jobs": len(q.jobs), "groups": len(q.groups), "results": len(q.results), "leases": len(q.leases), "members": len(q.members), "askers": len(q.askers), "held": q.accounts.Held(), "waiting": q.accounts.Waiting()}
}

// Token is what stands for a name in a key.
var Token = token
