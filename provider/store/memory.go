// Package store keeps finished scans by what scanner.Sharing says they count for,
// which begins with the digest of the image manifest they were made of. A digest
// never changes its meaning, so a scan is good for every tag, namespace and Pod
// that leads to it; what an asker may see of it is the registry's business, and
// what it is worth is the verdict's.
//
// Memory and Tags are in this process. Reports and SharedTags are on buckets,
// which outlive it and are the same for all replicas.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/imagegate/imagegate/provider/report"
)

// MemoryOptions bounds a Memory.
type MemoryOptions struct {
	// Reports is the greatest number of scans kept, a few large ones beside them.
	Reports int
	// Bytes bounds the memory of all scans kept, about; a full scanner report can
	// take megabytes, so a number of reports alone would bound nothing.
	Bytes int64
}

// Memory keeps scans in this process and forgets the least recently used.
type Memory struct {
	mu       sync.Mutex
	scans    *cache
	revision uint64
}

// NewMemory returns an empty Memory.
func NewMemory(o MemoryOptions) (*Memory, error) {
	scans, err := newCache(o.Reports, o.Bytes)
	if err != nil {
		return nil, err
	}
	return &Memory{scans: scans}, nil
}

// Get returns the scan of a key, or nil when there is none. The scan is shared
// and must not be changed.
func (m *Memory) Get(_ context.Context, key string) (*report.Scan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, _ := m.scans.get(key)
	return e.scan, nil
}

// GetAt is Get: here every Put is known at once.
func (m *Memory) GetAt(ctx context.Context, key string, _ uint64) (*report.Scan, error) {
	return m.Get(ctx, key)
}

// Look is Get, likewise.
func (m *Memory) Look(ctx context.Context, key string, _ uint64) (*report.Scan, error) {
	return m.Get(ctx, key)
}

// Put keeps the scan of a key in place of an earlier one. A scan larger than all
// bytes that large ones have is the only large one, rather than not kept at all:
// without it the image would be scanned for ever and never judged. The namespace
// for which it was made does not matter here.
func (m *Memory) Put(_ context.Context, _, key string, scan *report.Scan) (revision uint64, err error) {
	b, err := json.Marshal(scan)
	if err != nil {
		return 0, fmt.Errorf("measuring the scan of %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revision++
	m.scans.put(key, cached{scan: scan, revision: m.revision, bytes: footprint(scan, len(b))})
	return m.revision, nil
}

// Len returns how many scans are kept.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.scans.len()
}
