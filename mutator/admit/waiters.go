package admit

import (
	"slices"
	"strings"
	"sync"

	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/turns"
	"github.com/imagegate/imagegate/provider/wire"
)

// perTurn bounds the admissions that wait on one turn: a wait holds a request of
// the API server's too, whoever makes it.
const perTurn = 10

// waiters share the turns of those who wait for scans. A turn is one worker of a
// controller that may be held up, not one admission: the Pods of one ReplicaSet
// or Job are made by one worker, however many they are, so that they wait on one
// turn. ReplicaSets that bring the same image hold a worker each and share
// nothing. Pods of no such owner hold no such worker: those that wait for the same
// scans share a turn. It is safe for concurrent use.
type waiters struct {
	turns *turns.Turns

	mu    sync.Mutex
	by    map[string]*sharedTurn
	count int
}

type sharedTurn struct {
	waiting int
	done    func()
}

func newWaiters(most int) *waiters {
	return &waiters{turns: turns.New(turns.Limits{Turns: most}), by: map[string]*sharedTurn{}}
}

// waiting returns how many admissions wait.
func (w *waiters) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// tryJoin lets an admission that asks for keys wait, when it may, and returns
// what ends that, to be called once.
func (w *waiters) tryJoin(keys []wire.Key) (leave func(), ok bool) {
	on := waitsOn(keys)
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.by[on]
	switch {
	case t == nil:
		done, ok := w.turns.TryTake(turns.Share{Namespace: keys[0].Namespace})
		if !ok {
			return nil, false
		}
		t = &sharedTurn{done: done}
		w.by[on] = t
	case t.waiting >= perTurn:
		return nil, false
	}
	t.waiting++
	w.count++
	return func() { w.leave(on, t) }, true
}

func (w *waiters) leave(on string, t *sharedTurn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	if t.waiting--; t.waiting == 0 {
		delete(w.by, on)
		t.done()
	}
}

// waitsOn is what admissions have in common that wait on one turn. Each is of one
// namespace, for an owner is whoever the Pod says.
func waitsOn(keys []wire.Key) string {
	if by := keys[0].Owner; by != (owner.Reference{}) {
		return keys[0].Namespace + " " + by.String()
	}
	each := make([]string, len(keys))
	for i, k := range keys {
		k.User, k.Pod, k.Original = "", "", "" // the scan is the same
		each[i] = k.String()
	}
	slices.Sort(each)
	return strings.Join(each, " ")
}
