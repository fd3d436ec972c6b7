package denials

import (
	"container/list"
	"iter"
	"time"
)

// item is an Entry in memory, and what it is made of.
type item struct {
	key     string
	account *account
	// at is its place in the account's open or resolved.
	at *list.Element
	// shown is all that is known. It is replaced, never changed.
	shown *Entry
	bytes int
	// stored is what is in the bucket at revision, or zero; writing what is being
	// added to it by this replica, delta what is to be added.
	stored, writing, delta Entry
	revision               uint64
	// urgent says that delta is to be written at once.
	urgent bool
	wrote  time.Time
}

// account is what one namespace has.
type account struct {
	namespace string
	bytes     int
	// open and resolved have the one first of which nothing was heard the longest.
	open, resolved list.List
	forgotten      int
}

// all are the account's items.
func (a *account) all() iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for _, l := range []*list.List{&a.open, &a.resolved} {
			for e := l.Front(); e != nil; e = e.Next() {
				if i, ok := e.Value.(*item); ok && !yield(i) {
					return
				}
			}
		}
	}
}

// place is where an image is asked for.
type place struct{ namespace, image string }

// memory is all items. It is not safe for concurrent use.
type memory struct {
	maxBytes, bytes int
	items           map[string]*item
	accounts        map[string]*account
	images          map[place]map[*item]struct{}
	// dirty are those whose delta is to be written.
	dirty map[*item]struct{}
}

func newMemory(maxBytes int) *memory {
	return &memory{maxBytes: maxBytes, items: map[string]*item{}, accounts: map[string]*account{}, images: map[place]map[*item]struct{}{}, dirty: map[*item]struct{}{}}
}

// add makes an item, which is to be shown at once.
func (m *memory) add(key string) *item {
	i := &item{key: key}
	m.items[key] = i
	return i
}

// show has i be e from now on.
func (m *memory) show(i *item, e Entry) {
	if i.shown != nil && *i.shown == e {
		return
	}
	if i.account == nil {
		a := m.accounts[e.Namespace]
		if a == nil {
			a = &account{namespace: e.Namespace}
			m.accounts[e.Namespace] = a
		}
		i.account = a
		p := place{e.Namespace, e.Image}
		if m.images[p] == nil {
			m.images[p] = map[*item]struct{}{}
		}
		m.images[p][i] = struct{}{}
	} else {
		m.listOf(i).Remove(i.at)
	}
	i.shown = &e
	m.grow(i, e.size()-i.bytes)
	i.at = m.listOf(i).PushBack(i)
}

// listOf is where i is, by what is shown of it.
func (m *memory) listOf(i *item) *list.List {
	if i.shown.Open() {
		return &i.account.open
	}
	return &i.account.resolved
}

func (m *memory) grow(i *item, n int) {
	i.bytes += n
	i.account.bytes += n
	m.bytes += n
}

func (m *memory) remove(i *item) {
	p := place{i.shown.Namespace, i.shown.Image}
	delete(m.images[p], i)
	if len(m.images[p]) == 0 {
		delete(m.images, p)
	}
	m.listOf(i).Remove(i.at)
	m.grow(i, -i.bytes)
	if a := i.account; a.open.Len()+a.resolved.Len() == 0 {
		delete(m.accounts, a.namespace)
	}
	delete(m.items, i.key)
	delete(m.dirty, i)
}

// excess is what has to go next, or nil.
func (m *memory) excess() *item {
	if m.bytes <= m.maxBytes {
		return nil
	}
	var most *account
	for _, a := range m.accounts {
		if most == nil || a.bytes > most.bytes || a.bytes == most.bytes && a.namespace < most.namespace {
			most = a
		}
	}
	l := &most.resolved
	if l.Len() == 0 {
		l = &most.open
	}
	i, _ := l.Front().Value.(*item)
	return i
}
