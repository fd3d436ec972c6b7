// Package store keeps finished scans by the digest of the image manifest they
// were made of. A digest never changes its meaning, so a scan is good for every
// tag, namespace and Pod that leads to it; what an asker may see of it is the
// registry's business, and what it is worth is the verdict's.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

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

// Large scans have a quarter of the bytes, and only each other to evict: a few
// of them would else take the place of thousands. A scan is large from a
// hundredth of all bytes on.
const (
	largeShare = 4
	largeFrom  = 100
)

// perFinding is what a finding takes beside its text, which is most of a short one.
var perFinding = int(reflect.TypeFor[report.Vulnerability]().Size())

// Memory keeps scans in this process and forgets the least recently used, the
// large ones apart from the others.
type Memory struct {
	mu           sync.Mutex
	small, large *segment
	// from is the size at which a scan is large.
	from int64
}

// segment is a cache bounded in bytes.
type segment struct {
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
	large := o.Bytes / largeShare
	m := &Memory{from: max(o.Bytes/largeFrom, 1)}
	var err error
	if m.small, err = newSegment(o.Reports, o.Bytes-large); err != nil {
		return nil, err
	}
	if m.large, err = newSegment(o.Reports, large); err != nil {
		return nil, err
	}
	return m, nil
}

func newSegment(entries int, most int64) (*segment, error) {
	s := &segment{max: most}
	lru, err := simplelru.NewLRU(entries, func(_ string, e entry) { s.bytes -= e.bytes })
	if err != nil {
		return nil, fmt.Errorf("making the report cache: %w", err)
	}
	s.lru = lru
	return s, nil
}

// put adds an entry and keeps it although it is alone over the bound.
func (s *segment) put(digest string, e entry) {
	s.lru.Add(digest, e)
	s.bytes += e.bytes
	for s.bytes > s.max && s.lru.Len() > 1 {
		s.lru.RemoveOldest()
	}
}

// Get returns the scan of the manifest, or nil when there is none. The scan is
// shared and must not be changed.
func (m *Memory) Get(_ context.Context, digest string) (*report.Scan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.small.lru.Get(digest)
	if !ok {
		e, _ = m.large.lru.Get(digest)
	}
	return e.scan, nil
}

// Put keeps the scan of a manifest in place of an earlier one. A scan larger
// than all bytes that large ones have is the only large one, rather than not
// kept at all: without it the image would be scanned for ever and never judged.
func (m *Memory) Put(_ context.Context, digest string, scan *report.Scan) error {
	b, err := json.Marshal(scan)
	if err != nil {
		return fmt.Errorf("measuring the scan of %s: %w", digest, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.small.lru.Remove(digest)
	m.large.lru.Remove(digest)
	e := entry{scan: scan, bytes: int64(len(b) + len(scan.Vulnerabilities)*perFinding)}
	if e.bytes < m.from {
		m.small.put(digest, e)
	} else {
		m.large.put(digest, e)
	}
	return nil
}

// Len returns how many scans are kept.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.small.lru.Len() + m.large.lru.Len()
}
