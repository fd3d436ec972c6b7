package nudge

import (
	"container/list"
	"time"

	"github.com/imagegate/imagegate/provider/owner"
)

// id is an owner where it is. Another object of its name is another owner.
type id struct {
	namespace string
	owner     owner.Reference
}

// entry is what is known of an owner.
type entry struct {
	id
	account *account
	// at is the entry's place in its account's entries.
	at *list.Element
	// keys are those it was told to wait for and that are not over.
	keys  map[string]struct{}
	bytes int
	// asked is when it was last told to wait, nudged when it was last nudged.
	asked, nudged time.Time
	// due is when it is to be nudged; zero: not now. Until then it is in the
	// schedule, at place, which is outside otherwise, and then ready in its account.
	due   time.Time
	place int
	ready *list.Element
	// attempt counts those of the nudge that failed.
	attempt int
}

const outside = -1

// account is what one namespace has.
type account struct {
	namespace string
	bytes     int
	// entries has the one first that was told to wait the longest ago.
	entries list.List
	// ready are those of its entries that are due, in that order.
	ready list.List
	// turn is the account's place among those with something ready, or nil.
	turn *list.Element
}

// memory is who waits for what. It is not safe for concurrent use.
type memory struct {
	maxOwners, maxBytes int

	bytes    int
	owners   map[id]*entry
	waiting  map[string]map[*entry]struct{} // by key
	accounts map[string]*account
	schedule schedule
	// turns has the accounts with something ready, whose turn is next in front.
	turns list.List
}

func newMemory(maxOwners, maxBytes int) *memory {
	return &memory{
		maxOwners: maxOwners, maxBytes: maxBytes,
		owners: map[id]*entry{}, waiting: map[string]map[*entry]struct{}{}, accounts: map[string]*account{},
	}
}

// wait remembers that the owner waits for key, and returns how many others were
// forgotten for it that were yet to be nudged.
func (m *memory) wait(who id, key string, now time.Time) (forgotten int) {
	e := m.owners[who]
	if e == nil {
		e = m.add(who)
	}
	e.asked = now
	e.account.entries.MoveToBack(e.at)
	if _, known := e.keys[key]; !known && len(e.keys) < maxKeys {
		e.keys[key] = struct{}{}
		if m.waiting[key] == nil {
			m.waiting[key] = map[*entry]struct{}{}
		}
		m.waiting[key][e] = struct{}{}
		m.grow(e, keyOverhead+len(key))
	}
	for len(m.owners) > m.maxOwners || m.bytes > m.maxBytes {
		if m.forget() {
			forgotten++
		}
	}
	return forgotten
}

func (m *memory) add(who id) *entry {
	a := m.accounts[who.namespace]
	if a == nil {
		a = &account{namespace: who.namespace}
		m.accounts[who.namespace] = a
	}
	e := &entry{id: who, account: a, keys: map[string]struct{}{}, place: outside}
	e.at = a.entries.PushBack(e)
	m.owners[who] = e
	m.grow(e, ownerOverhead+len(who.namespace)+len(who.owner.Name)+len(who.owner.UID))
	return e
}

func (m *memory) grow(e *entry, n int) {
	e.bytes += n
	e.account.bytes += n
	m.bytes += n
}

// forget drops the oldest entry of the namespace that has the most, and reports
// whether it was yet to be nudged.
func (m *memory) forget() bool {
	var most *account
	for _, a := range m.accounts {
		if most == nil || a.bytes > most.bytes || a.bytes == most.bytes && a.namespace < most.namespace {
			most = a
		}
	}
	e, _ := most.entries.Front().Value.(*entry)
	unfinished := e.unfinished()
	m.remove(e)
	return unfinished
}

// unfinished reports whether the owner waits for anything, or for its nudge.
func (e *entry) unfinished() bool { return len(e.keys) > 0 || !e.due.IsZero() }

func (m *memory) remove(e *entry) {
	for key := range e.keys {
		m.unwait(e, key)
	}
	m.unschedule(e)
	m.grow(e, -e.bytes)
	e.account.entries.Remove(e.at)
	if e.account.entries.Len() == 0 {
		delete(m.accounts, e.namespace)
	}
	delete(m.owners, e.id)
}

// unwait takes e from those who wait for key.
func (m *memory) unwait(e *entry, key string) {
	delete(m.waiting[key], e)
	if len(m.waiting[key]) == 0 {
		delete(m.waiting, key)
	}
}

// over ends the wait of all owners for key.
func (m *memory) over(key string, now time.Time) {
	for e := range m.waiting[key] {
		delete(e.keys, key)
		m.unwait(e, key)
		m.grow(e, -keyOverhead-len(key))
		at := now
		if len(e.keys) > 0 {
			at = now.Add(patience)
		}
		m.plan(e, at)
	}
}

// sweep forgets who was nudged and who has not asked for long.
func (m *memory) sweep(now time.Time) (expired int) {
	for _, e := range m.owners {
		switch {
		case now.Sub(e.asked) >= lifetime:
			if e.unfinished() {
				expired++
			}
			m.remove(e)
		case !e.unfinished() && now.Sub(e.nudged) >= interval:
			m.remove(e)
		}
	}
	return expired
}
