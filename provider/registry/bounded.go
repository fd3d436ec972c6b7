package registry

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// bounded is a cache bounded in bytes: what is kept comes from registries, Pods
// and Secrets, whose authors choose how large it is. It needs no goroutine, which
// would outlive its owner: what is too old goes when somebody comes across it.
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
	k, ok := b.get(key)
	return k.value, ok
}

func (b *bounded[V]) get(key string) (kept[V], bool) {
	k, ok := b.lru.Get(key)
	if ok && time.Now().After(k.until) {
		b.lru.Remove(key)
		return kept[V]{}, false
	}
	return k, ok
}

// Add keeps a value unless it is larger than everything may be, and says whether
// another had to go for it.
func (b *bounded[V]) Add(key string, v V) (evicted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.put(key, v, time.Now().Add(b.ttl))
}

// Weigh counts a value again that has grown since it was added, and lets go of it
// once it is larger than most. It is kept no longer for that.
func (b *bounded[V]) Weigh(key string, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.get(key)
	switch {
	case !ok:
	case b.size(k.value) > most:
		b.lru.Remove(key)
	default:
		b.put(key, k.value, k.until)
	}
}

func (b *bounded[V]) put(key string, v V, until time.Time) (evicted bool) {
	bytes := b.size(v) + len(key) + entryBytes
	b.lru.Remove(key)
	if bytes > b.most {
		return false
	}
	for now := time.Now(); ; evicted = true {
		_, oldest, ok := b.lru.GetOldest()
		if !ok || b.bytes+bytes <= b.most && now.Before(oldest.until) {
			break
		}
		b.lru.RemoveOldest()
	}
	b.bytes += bytes
	return b.lru.Add(key, kept[V]{value: v, bytes: bytes, until: until}) || evicted
}

// Remove forgets a value.
func (b *bounded[V]) Remove(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lru.Remove(key)
}

// Purge forgets all.
func (b *bounded[V]) Purge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lru.Purge()
}

// Bytes is about what the cache takes.
func (b *bounded[V]) Bytes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}
