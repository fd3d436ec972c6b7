// Package store keeps finished scans by the digest of the image manifest they
// were made of. A digest never changes its meaning, so a scan is good for every
// tag, namespace and Pod that leads to it; what an asker may see of it is the
// registry's business, and what it is worth is the verdict's.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/imagegate/imagegate/provider/report"
)

// MemoryOptions bounds a Memory.
type MemoryOptions struct {
	// Reports is the greatest number of scans kept.
	Reports int
	// Bytes bounds the JSON size of all scans kept; a full scanner report can
	// take megabytes, so a number of reports alone would bound nothing.
	Bytes int64
}

// Memory keeps scans in this process and forgets the least recently used.
type Memory struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[string, entry]
	bytes int64
	max   int64
}

type entry struct {
	scan  *report.Scan
	bytes int64
}

// NewMemory returns an empty Memory.
func NewMemory(o MemoryOptions) (*Memory, error) {
	m := &Memory{max: o.Bytes}
	lru, err := simplelru.NewLRU(o.Reports, func(_ string, e entry) { m.bytes -= e.bytes })
	if err != nil {
		return nil, fmt.Errorf("making the report cache: %w", err)
	}
	m.lru = lru
	return m, nil
}

// Get returns the scan of the manifest, or nil when there is none. The scan is
// shared and must not be changed.
func (m *Memory) Get(_ context.Context, digest string) (*report.Scan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, _ := m.lru.Get(digest)
	return e.scan, nil
}

// Put keeps the scan of a manifest in place of an earlier one. A scan larger
// than the whole budget is kept alone rather than not at all: without it the
// image would be scanned for ever and never judged.
func (m *Memory) Put(_ context.Context, digest string, scan *report.Scan) error {
	b, err := json.Marshal(scan)
	if err != nil {
		return fmt.Errorf("measuring the scan of %s: %w", digest, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lru.Remove(digest)
	m.lru.Add(digest, entry{scan: scan, bytes: int64(len(b))})
	m.bytes += int64(len(b))
	for m.bytes > m.max && m.lru.Len() > 1 {
		m.lru.RemoveOldest()
	}
	return nil
}

// Len returns how many scans are kept.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lru.Len()
}
