package bucket

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a Bucket in this process, for commands that end soon and for tests.
// It has no bound of its own: what is built on a bucket keeps within one.
type Memory struct {
	mu       sync.Mutex
	revision uint64
	entries  map[string]Entry
	watches  map[*watch]struct{}
}

// watch is what one watcher has not been told yet.
type watch struct {
	events []Event
	more   chan struct{} // has room for one
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{entries: map[string]Entry{}, watches: map[*watch]struct{}{}}
}

// Get returns the entry, or nil.
func (m *Memory) Get(ctx context.Context, key string) (*Entry, error) {
	if err := refused(ctx, key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok {
		return nil, nil
	}
	return &e, nil
}

// Create writes a key that is not there.
func (m *Memory) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := refused(ctx, key); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.entries[key]; ok {
		return 0, ErrExists
	}
	return m.write(key, value, nil), nil
}

// Update writes a key that is at the revision.
func (m *Memory) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := refused(ctx, key); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; !ok || e.Revision != revision {
		return 0, ErrChanged
	}
	return m.write(key, value, nil), nil
}

// Put writes a key.
func (m *Memory) Put(ctx context.Context, key string, value []byte, meta Meta) (uint64, error) {
	if err := refused(ctx, key); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(key, value, meta), nil
}

// Delete removes a key.
func (m *Memory) Delete(ctx context.Context, key string, revision uint64) error {
	if err := refused(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if revision != 0 && e.Revision != revision {
		return ErrChanged
	}
	if !ok {
		return nil
	}
	delete(m.entries, key)
	m.revision++
	m.tell(Event{Kind: Deleted, Entry: Entry{Key: key, Revision: m.revision, Written: time.Now()}})
	return nil
}

// Watch tells of every change until ctx ends.
func (m *Memory) Watch(ctx context.Context, o WatchOptions, see func(Event)) error {
	w := &watch{more: make(chan struct{}, 1), events: []Event{{Kind: Reset}}}
	m.mu.Lock()
	for _, e := range slices.SortedFunc(maps.Values(m.entries), byRevision) {
		w.events = append(w.events, Event{Kind: Wrote, Entry: e})
	}
	w.events = append(w.events, Event{Kind: Synced})
	m.watches[w] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watches, w)
	}()
	for {
		m.mu.Lock()
		events := w.events
		w.events = nil
		m.mu.Unlock()
		for _, e := range events {
			if o.WithoutValues {
				e.Entry.Value = nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			see(e)
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// refused is why nothing is done at all.
func refused(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return CheckKey(key)
}

func byRevision(a, b Entry) int { return cmp.Compare(a.Revision, b.Revision) }

func (m *Memory) write(key string, value []byte, meta Meta) uint64 {
	m.revision++
	e := Entry{Key: key, Value: value, Meta: meta, Size: len(value), Revision: m.revision, Written: time.Now()}
	m.entries[key] = e
	m.tell(Event{Kind: Wrote, Entry: e})
	return e.Revision
}

func (m *Memory) tell(e Event) {
	for w := range m.watches {
		w.events = append(w.events, e)
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}
