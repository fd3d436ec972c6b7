package nudge

import (
	"container/heap"
	"time"
)

// schedule has the entries that are to be nudged later, the next one first.
type schedule []*entry

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}

// Push is heap.Interface's.
func (s *schedule) Push(x any) {
	e, _ := x.(*entry)
	e.place = len(*s)
	*s = append(*s, e)
}

// Pop is heap.Interface's.
func (s *schedule) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	e.place = outside
	return e
}

// plan has e nudged at the given time, or when it may be nudged again, unless it
// is to be nudged sooner.
func (m *memory) plan(e *entry, at time.Time) {
	if again := e.nudged.Add(interval); at.Before(again) {
		at = again
	}
	m.planAt(e, at)
}

func (m *memory) planAt(e *entry, at time.Time) {
	if !e.due.IsZero() && !at.Before(e.due) {
		return
	}
	m.unschedule(e)
	e.due = at
	heap.Push(&m.schedule, e)
}

// retry has the nudge that failed made again, unless e has been forgotten.
func (m *memory) retry(e *entry, at time.Time) {
	if m.owners[e.id] == e {
		m.planAt(e, at)
	}
}

// unschedule takes e out of all queues. What was due stays readable.
func (m *memory) unschedule(e *entry) {
	if e.place != outside {
		heap.Remove(&m.schedule, e.place)
	}
	if e.ready != nil {
		e.account.ready.Remove(e.ready)
		e.ready = nil
		m.retire(e.account)
	}
}

// retire takes an account with nothing ready out of the turns.
func (m *memory) retire(a *account) {
	if a.ready.Len() == 0 && a.turn != nil {
		m.turns.Remove(a.turn)
		a.turn = nil
	}
}

// promote makes ready what is due by now.
func (m *memory) promote(now time.Time) {
	for len(m.schedule) > 0 && !m.schedule[0].due.After(now) {
		e, _ := heap.Pop(&m.schedule).(*entry)
		a := e.account
		e.ready = a.ready.PushBack(e)
		if a.turn == nil {
			a.turn = m.turns.PushBack(a)
		}
	}
}

// take returns the entry to nudge now, namespaces by turns, or nil. The entry is
// due no more.
func (m *memory) take(now time.Time) *entry {
	m.promote(now)
	front := m.turns.Front()
	if front == nil {
		return nil
	}
	a, _ := front.Value.(*account)
	e, _ := a.ready.Front().Value.(*entry)
	m.turns.MoveToBack(front)
	m.unschedule(e)
	e.due, e.nudged = time.Time{}, now
	return e
}

// next returns when something is due; ok is false when nothing is.
func (m *memory) next() (at time.Time, ok bool) {
	if m.turns.Len() > 0 {
		return time.Time{}, true
	}
	if len(m.schedule) > 0 {
		return m.schedule[0].due, true
	}
	return time.Time{}, false
}
