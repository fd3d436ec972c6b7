package view

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/imagegate/imagegate/provider/fair"
	"github.com/imagegate/imagegate/provider/service"
)

const (
	// perName is about what an image takes that was asked for, beside its texts.
	perName = 1024
	// maxNames bounds those that are looked at for one digest.
	maxNames = 64
)

// nameKey tells one way to ask for an image from another.
type nameKey struct{ namespace, reference, written, digest, manifests string }

// order is by the names.
func (k nameKey) order(than nameKey) int {
	return cmp.Or(cmp.Compare(k.written, than.written), cmp.Compare(k.namespace, than.namespace), cmp.Compare(k.reference, than.reference),
		cmp.Compare(k.digest, than.digest), cmp.Compare(k.manifests, than.manifests))
}

// named is an image under its key.
type named struct {
	key   nameKey
	image service.Image
}

// search is where a key is in a list that is in order, or belongs.
func search(list []*named, k nameKey) (n int, there bool) {
	return slices.BinarySearchFunc(list, k, func(e *named, k nameKey) int { return e.key.order(k) })
}

func keyOf(i service.Image) nameKey {
	var b strings.Builder
	for _, m := range i.Manifests {
		b.WriteString(m.Key)
		b.WriteByte(' ')
	}
	return nameKey{i.Namespace, i.Reference, i.Written, i.Digest, b.String()}
}

func (k nameKey) bytes() int64 {
	return int64(perName + len(k.namespace) + len(k.reference) + len(k.written) + len(k.digest) + 2*len(k.manifests))
}

// Names remembers in this process how images were asked for: a report is kept under
// its digest, and the verdict depends on the name and the namespace too. It is bounded
// in bytes; what one namespace asks for is forgotten before what another does that
// holds less.
type Names struct {
	mu sync.Mutex
	// fresh are the keys of reports that are asked for in a new way since it was last
	// taken; told has room for one word of it.
	fresh map[string]bool
	told  chan struct{}

	images *fair.Cache[nameKey, service.Image]
	// byDigest has the digests of indexes and manifests, byKey the keys of reports, the
	// images of each in order: many may have one digest, and few are looked at.
	byDigest, byKey map[string][]*named
}

// NewNames returns an empty Names that holds about so many bytes at most.
func NewNames(most int64) *Names {
	return &Names{images: fair.New[nameKey, service.Image](most), fresh: map[string]bool{}, told: make(chan struct{}, 1), byDigest: map[string][]*named{}, byKey: map[string][]*named{}}
}

// Saw remembers an image. It is called at each answer, and fast where nothing is new.
func (n *Names) Saw(i service.Image) {
	if !n.add(keyOf(i), i) {
		return
	}
	select {
	case n.told <- struct{}{}:
	default:
	}
}

// take returns the keys of reports that are asked for in a new way.
func (n *Names) take() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.fresh
	n.fresh = map[string]bool{}
	return out
}

// again has the next take return a key that was not dealt with.
func (n *Names) again(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fresh[key] = true
}

func (n *Names) add(k nameKey, i service.Image) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.images.Get(k.namespace, k); known {
		return false
	}
	e := &named{k, i}
	for _, m := range i.Manifests {
		put(n.byDigest, m.Digest, e)
		put(n.byKey, m.Key, e)
		n.fresh[m.Key] = true
	}
	put(n.byDigest, i.Digest, e)
	for _, d := range n.images.Add(k.namespace, k, i, k.bytes()) {
		n.forget(d.Key, d.Value)
	}
	return true
}

func put(to map[string][]*named, at string, e *named) {
	if n, there := search(to[at], e.key); !there { // its index may be its manifest
		to[at] = slices.Insert(to[at], n, e)
	}
}

func drop(from map[string][]*named, at string, k nameKey) {
	if n, there := search(from[at], k); there {
		from[at] = slices.Delete(from[at], n, n+1)
	}
	if len(from[at]) == 0 {
		delete(from, at)
	}
}

// forget takes in that an image is not kept any more.
func (n *Names) forget(k nameKey, i service.Image) {
	drop(n.byDigest, i.Digest, k)
	for _, m := range i.Manifests {
		drop(n.byDigest, m.Digest, k)
		drop(n.byKey, m.Key, k)
	}
}

// ofDigest are the images with an index or manifest of the digest, in the order of
// their names; of more than maxNames the first, and all is false.
func (n *Names) ofDigest(digest string) (list []service.Image, all bool) {
	return n.list(n.byDigest, digest)
}

// ofKey are those whose report is kept under the key.
func (n *Names) ofKey(key string) (list []service.Image, all bool) { return n.list(n.byKey, key) }

func (n *Names) list(of map[string][]*named, at string) (list []service.Image, all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := of[at]
	list = make([]service.Image, min(len(known), maxNames))
	for i := range list {
		list[i] = known[i].image
	}
	return list, len(known) == len(list)
}
