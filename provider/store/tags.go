package store

import (
	"context"
	"errors"
	"sync"

	"github.com/imagegate/imagegate/provider/fair"
)

// tagOverhead is about what a remembered pair takes beside its texts.
const tagOverhead = 160

// Tags remembers in this process which digests each tag was seen to mean. A tag
// may have meant several, one after another: a Pod goes on running what its tag
// meant when it was pinned. What one namespace brings is forgotten before what
// another does that holds less, so nobody can flush the memory of others.
type Tags struct {
	mu    sync.Mutex
	pairs *fair.Cache[pair, struct{}]
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

// NewTags returns an empty Tags that holds about maxBytes at most.
func NewTags(maxBytes int64) (*Tags, error) {
	if maxBytes <= 0 {
		return nil, errors.New("making the memory of tags: its bytes must be greater than zero")
	}
	return &Tags{pairs: fair.New[pair, struct{}](maxBytes), owners: map[pair]int{}, overhead: tagOverhead}, nil
}

// Saw remembers for a namespace that tag, a canonical repository:tag, means
// digest.
func (t *Tags) Saw(_ context.Context, namespace, tag, digest string) error {
	t.saw(seen{namespace, pair{tag, digest}})
	return nil
}

// saw is Saw. It returns whether that is new, and what was forgotten for it.
func (t *Tags) saw(n seen) (added bool, forgotten []seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.pairs.Get(n.namespace, n.pair); known {
		return false, nil
	}
	t.owners[n.pair]++
	for _, d := range t.pairs.Add(n.namespace, n.pair, struct{}{}, t.size(n.pair)) {
		t.disown(d.Key)
		forgotten = append(forgotten, seen{d.Namespace, d.Key})
	}
	return true, forgotten
}

// forgetOne forgets a pair of a namespace, if it is there.
func (t *Tags) forgetOne(n seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pairs.Remove(n.namespace, n.pair) {
		t.disown(n.pair)
	}
}

func (t *Tags) disown(p pair) {
	if t.owners[p]--; t.owners[p] == 0 {
		delete(t.owners, p)
	}
}

// Means says whether tag was seen to mean digest, by whichever namespace.
func (t *Tags) Means(_ context.Context, namespace, tag, digest string) (bool, error) {
	p := pair{tag, digest}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pairs.Get(namespace, p) // keeps it from being the least recently used
	return t.owners[p] > 0, nil
}

// Bytes returns about how much is held.
func (t *Tags) Bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pairs.Bytes()
}
