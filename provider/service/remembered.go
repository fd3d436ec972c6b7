package service

import "github.com/hashicorp/golang-lru/v2/simplelru"

// remembered are failures by key, so many at most. What one namespace brings does
// not push out what others did: beyond the bound the one goes that was asked about
// least lately of the namespace that has the most.
type remembered struct {
	most int
	of   map[string]string // the namespace of each key
	by   map[string]*simplelru.LRU[string, failureRecord]
}

func newRemembered(most int) *remembered {
	return &remembered{most: most, of: map[string]string{}, by: map[string]*simplelru.LRU[string, failureRecord]{}}
}

// get returns a failure, peek does so without its having been asked about.
func (m *remembered) get(key string) (r failureRecord, ok bool) {
	if own := m.by[m.of[key]]; own != nil {
		return own.Get(key)
	}
	return r, false
}

func (m *remembered) peek(key string) (r failureRecord, ok bool) {
	if own := m.by[m.of[key]]; own != nil {
		return own.Peek(key)
	}
	return r, false
}

// add remembers a failure in place of an earlier one of its key, and returns the
// key of the one that had to go for it, or nothing.
func (m *remembered) add(r failureRecord) (gone string) {
	if m.of[r.Key] != r.Namespace {
		m.remove(r.Key)
	}
	own := m.by[r.Namespace]
	if own == nil {
		own, _ = simplelru.NewLRU[string, failureRecord](m.most, nil) // its error is a size below one
		m.by[r.Namespace] = own
	}
	own.Add(r.Key, r)
	m.of[r.Key] = r.Namespace
	if len(m.of) <= m.most {
		return ""
	}
	gone = m.victim(r.Key)
	m.remove(gone)
	return gone
}

// victim is what has to go, but for one key.
func (m *remembered) victim(but string) (key string) {
	most := 0
	for _, list := range m.by {
		if list.Len() <= most {
			continue
		}
		if oldest, _, _ := list.GetOldest(); oldest != but {
			key, most = oldest, list.Len()
		}
	}
	return key
}

func (m *remembered) remove(key string) bool {
	namespace, ok := m.of[key]
	if !ok {
		return false
	}
	delete(m.of, key)
	own := m.by[namespace]
	own.Remove(key)
	if own.Len() == 0 {
		delete(m.by, namespace)
	}
	return true
}

// all returns the failures, keys their keys.
func (m *remembered) all() []failureRecord {
	list := make([]failureRecord, 0, len(m.of))
	for _, own := range m.by {
		list = append(list, own.Values()...)
	}
	return list
}

func (m *remembered) keys() []string {
	list := make([]string, 0, len(m.of))
	for key := range m.of {
		list = append(list, key)
	}
	return list
}
