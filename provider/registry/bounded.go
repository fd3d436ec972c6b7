package registry

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// bounded is a cache bounded in bytes: what is kept comes from registries and
// Secrets, whose authors choose how large it is.
type bounded[V any] struct {
	ttl  time.Duration
	most int
	size func(V) int

	mu    sync.Mutex
	lru   *simplelru.LRU[string, kept[V]]
	bytes int
}

type kept[V any] struct {
	value V
	bytes int
	until time.Time
}

// entryBytes is about what an entry takes beside its key and value.
const entryBytes = 200

func newBounded[V any](entries, bytes int, ttl time.Duration, size func(V) int) (*bounded[V], error) {
	b := &bounded[V]{ttl: ttl, most: bytes, size: size}
	var err error
	b.lru, err = simplelru.NewLRU(entries, func(_ string, k kept[V]) { b.bytes -= k.bytes })
	return b, err
}

func (b *bounded[V]) Get(key string) (V, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.lru.Get(key)
	if ok && time.Now().After(k.until) {
		b.lru.Remove(key)
		ok = false
	}
	if !ok {
		var none V
		return none, false
	}
	return k.value, true
}

// Add keeps a value unless it is larger than everything may be, and says whether
// another had to go for it.
func (b *bounded[V]) Add(key string, v V) (evicted bool) {
	bytes := b.size(v) + len(key) + entryBytes
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lru.Remove(key)
	if bytes > b.most {
		return false
	}
	for b.bytes+bytes > b.most {
		b.lru.RemoveOldest()
		evicted = true
	}
	b.bytes += bytes
	return b.lru.Add(key, kept[V]{value: v, bytes: bytes, until: time.Now().Add(b.ttl)}) || evicted
}

// Bytes is about what the cache takes.
func (b *bounded[V]) Bytes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}
