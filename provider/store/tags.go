package store

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// tagOverhead and shareOverhead are about what a remembered pair and a namespace
// take beside their texts.
const (
	tagOverhead   = 160
	shareOverhead = 512
)

// Tags remembers in this process which digests each tag was seen to mean. A tag
// may have meant several, one after another: a Pod goes on running what its tag
// meant when it was pinned. What one namespace brings is forgotten before what
// another does that holds less, so nobody can flush the memory of others.
type Tags struct {
	mu    sync.Mutex
	max   int64
	bytes int64
	// shares are the pairs by the namespace that brought them, the least
	// recently used of each first to go.
	shares map[string]*share
	// owners counts the namespaces that hold a pair.
	owners map[pair]int
	// overhead is about what a pair takes beside its texts.
	overhead int64
}

type pair struct{ tag, digest string }

// seen is a pair that a namespace has brought.
type seen struct {
	namespace string
	pair      pair
}

func (t *Tags) size(p pair) int64 { return int64(len(p.tag)+len(p.digest)) + t.overhead }

type share struct {
	pairs *simplelru.LRU[pair, struct{}]
	bytes int64
}

// NewTags returns an empty Tags that holds about maxBytes at most.
func NewTags(maxBytes int64) (*Tags, error) {
	if maxBytes <= 0 {
		return nil, errors.New("making the memory of tags: its bytes must be greater than zero")
	}
	return &Tags{max: maxBytes, shares: map[string]*share{}, owners: map[pair]int{}, overhead: tagOverhead}, nil
}

// Saw remembers for a namespace that tag, a canonical repository:tag, means
// digest.
func (t *Tags) Saw(_ context.Context, namespace, tag, digest string) error {
	_, _, err := t.saw(seen{namespace, pair{tag, digest}})
	return err
}

// saw is Saw. It returns whether that is new, and what was forgotten for it.
func (t *Tags) saw(n seen) (added bool, forgotten []seen, err error) {
	namespace, p := n.namespace, n.pair
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shares[namespace]
	if s == nil {
		// The bound in bytes is below this number of pairs.
		pairs, err := simplelru.NewLRU[pair, struct{}](int(t.max/tagOverhead)+1, nil)
		if err != nil {
			return false, nil, err
		}
		s = &share{pairs: pairs, bytes: shareOverhead + int64(len(namespace))}
		t.shares[namespace] = s
		t.bytes += s.bytes
	}
	if _, known := s.pairs.Get(p); known {
		return false, nil, nil
	}
	s.pairs.Add(p, struct{}{})
	s.bytes += t.size(p)
	t.bytes += t.size(p)
	t.owners[p]++
	for t.bytes > t.max {
		forgotten = append(forgotten, t.forget())
	}
	return true, forgotten, nil
}

// forget drops the oldest pair of the namespace that holds most.
func (t *Tags) forget() seen {
	var largest string
	var most int64 = -1
	for namespace, s := range t.shares {
		if s.bytes > most || s.bytes == most && namespace < largest {
			largest, most = namespace, s.bytes
		}
	}
	p, _, _ := t.shares[largest].pairs.GetOldest()
	n := seen{largest, p}
	t.drop(n)
	return n
}

// forgetOne forgets a pair of a namespace, if it is there.
func (t *Tags) forgetOne(n seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(n)
}

// drop drops a pair of a namespace, if it is there.
func (t *Tags) drop(n seen) {
	s := t.shares[n.namespace]
	if s == nil || !s.pairs.Remove(n.pair) {
		return
	}
	s.bytes -= t.size(n.pair)
	t.bytes -= t.size(n.pair)
	if t.owners[n.pair]--; t.owners[n.pair] == 0 {
		delete(t.owners, n.pair)
	}
	if s.pairs.Len() == 0 {
		t.bytes -= s.bytes
		delete(t.shares, n.namespace)
	}
}

// Means says whether tag was seen to mean digest, by whichever namespace.
func (t *Tags) Means(_ context.Context, namespace, tag, digest string) (bool, error) {
	p := pair{tag, digest}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.shares[namespace]; s != nil {
		s.pairs.Get(p) // keeps it from being the least recently used
	}
	return t.owners[p] > 0, nil
}

// Bytes returns about how much is held.
func (t *Tags) Bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes
}
