package store

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/imagegate/imagegate/provider/report"
)

// Large scans have a quarter of the bytes, and only each other to evict: a few
// of them would else take the place of thousands. A scan is large from a
// hundredth of all bytes on.
const (
	largeShare = 4
	largeFrom  = 100
)

// perFinding is what a finding takes beside its text, which is most of a short one.
var perFinding = int(reflect.TypeFor[report.Vulnerability]().Size())

// footprint is about what a scan takes in memory whose JSON has that many bytes.
func footprint(scan *report.Scan, plain int) int64 {
	return int64(plain + len(scan.Vulnerabilities)*perFinding)
}

// cache keeps scans in memory and forgets the least recently used, the large
// ones apart from the others. It is not safe for concurrent use.
type cache struct {
	small, large *segment
	// from is the size at which a scan is large.
	from int64
}

// segment is a cache bounded in bytes.
type segment struct {
	lru   *simplelru.LRU[string, cached]
	bytes int64
	max   int64
}

// cached is a scan as of a revision of its key.
type cached struct {
	scan     *report.Scan
	revision uint64
	bytes    int64
}

// newCache returns an empty cache of at most so many scans and bytes.
func newCache(scans int, most int64) (*cache, error) {
	large := most / largeShare
	c := &cache{from: max(most/largeFrom, 1)}
	var err error
	if c.small, err = newSegment(scans, most-large); err != nil {
		return nil, err
	}
	if c.large, err = newSegment(scans, large); err != nil {
		return nil, err
	}
	return c, nil
}

func newSegment(entries int, most int64) (*segment, error) {
	s := &segment{max: most}
	lru, err := simplelru.NewLRU(entries, func(_ string, e cached) { s.bytes -= e.bytes })
	if err != nil {
		return nil, fmt.Errorf("making the report cache: %w", err)
	}
	s.lru = lru
	return s, nil
}

// put adds an entry and keeps it although it is alone over the bound.
func (s *segment) put(key string, e cached) {
	s.lru.Add(key, e)
	s.bytes += e.bytes
	for s.bytes > s.max && s.lru.Len() > 1 {
		s.lru.RemoveOldest()
	}
}

func (c *cache) get(key string) (cached, bool) {
	if e, ok := c.small.lru.Get(key); ok {
		return e, true
	}
	return c.large.lru.Get(key)
}

// peek is get that is no use.
func (c *cache) peek(key string) (cached, bool) {
	if e, ok := c.small.lru.Peek(key); ok {
		return e, true
	}
	return c.large.lru.Peek(key)
}

// put keeps a scan in place of an earlier one. A scan larger than all bytes that
// large ones have is the only large one, rather than not kept at all.
func (c *cache) put(key string, e cached) {
	c.remove(key)
	if e.bytes < c.from {
		c.small.put(key, e)
	} else {
		c.large.put(key, e)
	}
}

func (c *cache) remove(key string) {
	c.small.lru.Remove(key)
	c.large.lru.Remove(key)
}

func (c *cache) len() int { return c.small.lru.Len() + c.large.lru.Len() }

func (c *cache) bytes() int64 { return c.small.bytes + c.large.bytes }
