package turns

import "sync"

// Amounts share what is counted otherwise than one by one, such as bytes, among
// namespaces by the rule of turns. Nobody waits for any. It is safe for concurrent
// use and remembers only those who hold some.
type Amounts struct {
	limit int64

	mu   sync.Mutex
	held int64
	by   map[string]int64
}

// NewAmounts makes limit of them.
func NewAmounts(limit int64) *Amounts { return &Amounts{limit: limit, by: map[string]int64{}} }

// TryTake takes n for the namespace where it may have as many, and returns what
// gives them back, to be called once. Who finds nobody else there may have all.
func (a *Amounts) TryTake(namespace string, n int64) (done func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := a.by[namespace]
	free := a.limit - (a.held - own)
	if own+n > free-free/quarter && (a.held > 0 || n > a.limit) {
		return nil, false
	}
	a.held += n
	a.by[namespace] += n
	return func() { a.giveBack(namespace, n) }, true
}

// quarter of what is free is left to the next account.
const quarter = 4

func (a *Amounts) giveBack(namespace string, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= n
	if a.by[namespace] -= n; a.by[namespace] == 0 {
		delete(a.by, namespace)
	}
}
