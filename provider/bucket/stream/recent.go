package stream

import (
	"sync"
	"time"
)

// recent remembers what this process wrote, for longer than a replica of the
// stream is behind. Beyond its bound the oldest half is dropped.
type recent struct {
	mu       sync.Mutex
	now, old map[string]uint64
	turned   time.Time
}

const (
	recentKeys = 16384
	recentFor  = time.Minute
)

func (r *recent) add(key string, sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	if len(r.now) >= recentKeys || r.now == nil {
		r.old, r.now, r.turned = r.now, map[string]uint64{}, time.Now()
	}
	r.now[key] = max(r.now[key], sequence)
}

// turn forgets what is old.
func (r *recent) turn() {
	if len(r.now)+len(r.old) > 0 && time.Since(r.turned) > recentFor {
		r.old, r.now, r.turned = r.now, nil, time.Now()
	}
}

// get returns the last sequence that this process wrote of the key, or zero.
func (r *recent) get(key string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	return max(r.now[key], r.old[key])
}

// forget drops what turned out to be wrong: the stream has lost it.
func (r *recent) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, key)
	delete(r.old, key)
}
