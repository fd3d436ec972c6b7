package jobs

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// results keeps finished jobs: at most so many, so many bytes, so long. It is
// not safe for concurrent use.
type results struct {
	lru   *simplelru.LRU[string, kept]
	bytes int64
	limit int64
	ttl   time.Duration
}

type kept struct {
	result   Result
	finished time.Time
}

func newResults(count int, bytes int64, ttl time.Duration) *results {
	r := &results{limit: bytes, ttl: ttl}
	lru, err := simplelru.NewLRU(count, func(_ string, k kept) { r.bytes -= k.size() })
	if err != nil {
		panic(err) // only for a count below one, which the configuration refuses
	}
	r.lru = lru
	return r
}

// size is what counts against the limit in bytes.
func (k kept) size() int64 {
	n := len(k.result.Report)
	if f := k.result.Failure; f != nil {
		n += len(f.Message)
	}
	return int64(n)
}

// put keeps a result, which alone may be larger than the limit of all.
func (r *results) put(id string, result Result, now time.Time) {
	k := kept{result: result, finished: now}
	r.bytes += k.size()
	r.lru.Add(id, k)
	for r.bytes > r.limit && r.lru.Len() > 1 {
		r.lru.RemoveOldest()
	}
}

func (r *results) get(id string, now time.Time) Result {
	k, ok := r.lru.Get(id)
	if !ok {
		return Result{}
	}
	if now.Sub(k.finished) > r.ttl {
		r.lru.Remove(id)
		return Result{}
	}
	return k.result
}

func (r *results) expire(now time.Time) {
	for _, id := range r.lru.Keys() {
		if k, ok := r.lru.Peek(id); ok && now.Sub(k.finished) > r.ttl {
			r.lru.Remove(id)
		}
	}
}
