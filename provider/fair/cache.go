// Package fair keeps what was used lately within bytes that namespaces share: what one
// brings is forgotten before what another did that holds less. So nobody can flush what
// others need, however much he asks for.
package fair

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// perNamespace is about what a namespace takes beside its entries and its name.
const perNamespace = 512

// Cache keeps values by their keys in each namespace. It is not safe for concurrent use.
type Cache[K comparable, V any] struct {
	most, bytes int64
	shares      map[string]*share[K, V]
}

// share is what one namespace holds, the least recently used first to go.
type share[K comparable, V any] struct {
	entries *simplelru.LRU[K, entry[V]]
	bytes   int64
}

type entry[V any] struct {
	value V
	bytes int64
}

// Dropped is what was forgotten for want of room.
type Dropped[K comparable, V any] struct {
	Namespace string
	Key       K
	Value     V
}

// New returns an empty Cache that holds about so many bytes at most.
func New[K comparable, V any](most int64) *Cache[K, V] {
	return &Cache[K, V]{most: most, shares: map[string]*share[K, V]{}}
}

// Get returns a namespace's value, which is thereby used.
func (c *Cache[K, V]) Get(namespace string, k K) (v V, ok bool) {
	s := c.shares[namespace]
	if s == nil {
		return v, false
	}
	e, ok := s.entries.Get(k)
	return e.value, ok
}

// Add keeps a value of about so many bytes in place of an earlier one, and returns what
// had to go for it, which may be the value itself.
func (c *Cache[K, V]) Add(namespace string, k K, v V, bytes int64) (dropped []Dropped[K, V]) {
	c.Remove(namespace, k)
	s := c.shares[namespace]
	if s == nil {
		entries, err := simplelru.NewLRU[K, entry[V]](math.MaxInt, nil) // bytes bound it
		if err != nil {
			panic(err) // only for a size below one
		}
		s = &share[K, V]{entries: entries, bytes: perNamespace + int64(len(namespace))}
		c.shares[namespace] = s
		c.bytes += s.bytes
	}
	s.entries.Add(k, entry[V]{v, bytes})
	s.bytes += bytes
	c.bytes += bytes
	for c.bytes > c.most && len(c.shares) > 0 {
		dropped = append(dropped, c.drop())
	}
	return dropped
}

// drop forgets the least recently used value of the namespace that holds most.
func (c *Cache[K, V]) drop() Dropped[K, V] {
	var largest string
	var most int64 = -1
	for namespace, s := range c.shares {
		if s.bytes > most || s.bytes == most && namespace < largest {
			largest, most = namespace, s.bytes
		}
	}
	k, e, _ := c.shares[largest].entries.GetOldest()
	c.Remove(largest, k)
	return Dropped[K, V]{largest, k, e.value}
}

// Remove forgets a value, and reports whether it was there.
func (c *Cache[K, V]) Remove(namespace string, k K) bool {
	s := c.shares[namespace]
	if s == nil {
		return false
	}
	e, ok := s.entries.Peek(k)
	if !ok {
		return false
	}
	s.entries.Remove(k)
	s.bytes -= e.bytes
	c.bytes -= e.bytes
	if s.entries.Len() == 0 {
		c.bytes -= s.bytes
		delete(c.shares, namespace)
	}
	return true
}

// Bytes is about how much is held.
func (c *Cache[K, V]) Bytes() int64 { return c.bytes }
