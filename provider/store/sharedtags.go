package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/pause"
)

// SharedTagsOptions says where it is kept what tags meant, and how much.
type SharedTagsOptions struct {
	// Bucket holds it. Nothing else is in it.
	Bucket bucket.Bucket
	// Bytes bounds what each replica has in memory of it, which is all. What is
	// forgotten there is removed from the bucket.
	Bytes int64
	// Logger may be nil.
	Logger *slog.Logger
}

// SharedTags is Tags that outlives the process and is the same on all replicas.
// Each has all of it in memory: no question waits for the bucket, and what was
// seen is written in the background.
type SharedTags struct {
	o    SharedTagsOptions
	tags *Tags
	// more wakes who writes.
	more chan struct{}

	mu sync.Mutex
	// known is what stands behind each key that is remembered here. Its keys are
	// those of the bucket without their spelling.
	known map[tagID]held
	// undone is what is to be written, or removed, by key.
	undone map[tagID]change
	// writes counts those of it that are to be written, lost those that did not
	// fit since that was last told.
	writes, lost int
}

type held struct {
	seen seen
	// kept says that it is in the bucket, and has to be removed from there.
	kept bool
}

type change struct {
	seen   seen
	remove bool
}

const (
	// maxWrites bounds what waits to be written: with the bucket away for longer,
	// what is seen is remembered by this replica alone. Removals are bounded by
	// what is in the bucket.
	maxWrites    = 4096
	writeTimeout = 5 * time.Second
	writePause   = 2 * time.Second
	// maxTagValue bounds a value that is read: a repository and a tag have less.
	maxTagValue = 64 << 10
	// sharedOverhead is about what a pair takes beside what Tags holds of it.
	sharedOverhead = 192
)

// NewSharedTags returns a SharedTags, which learns what others saw in Run.
func NewSharedTags(o SharedTagsOptions) (*SharedTags, error) {
	if o.Bucket == nil {
		return nil, errors.New("making the shared memory of tags: it needs a bucket")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	tags, err := NewTags(o.Bytes)
	if err != nil {
		return nil, err
	}
	tags.overhead += sharedOverhead
	return &SharedTags{o: o, tags: tags, more: make(chan struct{}, 1), known: map[tagID]held{}, undone: map[tagID]change{}}, nil
}

// Saw remembers for a namespace that tag, a canonical repository:tag, means
// digest. It waits for nobody: what cannot be written is warned of in the log.
func (t *SharedTags) Saw(_ context.Context, namespace, tag, digest string) error {
	t.saw(seen{namespace, pair{tag, digest}}, true)
	return nil
}

// Means says whether tag was seen to mean digest, by whichever namespace on
// whichever replica.
func (t *SharedTags) Means(ctx context.Context, namespace, tag, digest string) (bool, error) {
	return t.tags.Means(ctx, namespace, tag, digest)
}

// Bytes returns about how much is held.
func (t *SharedTags) Bytes() int64 { return t.tags.Bytes() }

// saw remembers what was seen here, or else what the bucket told.
func (t *SharedTags) saw(n seen, here bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !here && t.undone[n.id()].remove {
		return // it is forgotten already
	}
	added, forgotten := t.tags.saw(n)
	switch {
	case !here:
		t.known[n.id()] = held{seen: n, kept: true}
	case added:
		t.known[n.id()] = held{seen: n}
		t.write(n)
	}
	for _, f := range forgotten {
		t.forgot(f.id())
	}
}

// write has what was seen written. t.mu is held, as by those that follow.
func (t *SharedTags) write(n seen) {
	if t.writes >= maxWrites {
		t.lost++
		return
	}
	t.undo(n.id(), change{seen: n})
}

// forgot has what is forgotten here removed from the bucket, or not written.
func (t *SharedTags) forgot(id tagID) {
	h := t.known[id]
	delete(t.known, id)
	if h.kept {
		t.undo(id, change{seen: h.seen, remove: true})
		return
	}
	if _, ok := t.undone[id]; ok {
		delete(t.undone, id)
		t.writes--
	}
}

// undo sets what is to be done about a key, in place of what was.
func (t *SharedTags) undo(id tagID, c change) {
	if before, ok := t.undone[id]; ok && !before.remove {
		t.writes--
	}
	if !c.remove {
		t.writes++
	}
	t.undone[id] = c
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// Run follows the bucket and writes to it what was seen and forgotten here, until
// ctx ends. Its error is nil.
func (t *SharedTags) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { bucket.Follow(ctx, t.o.Logger, "tags", t.o.Bucket, bucket.WatchOptions{}, t.see) })
	wg.Go(func() { t.writeAll(ctx) })
	wg.Wait()
	return nil
}

func (t *SharedTags) see(e bucket.Event) {
	switch e.Kind {
	case bucket.Wrote:
		n, err := readSeen(e.Entry.Key, e.Entry.Value)
		if err != nil {
			t.o.Logger.Warn("what is kept of a tag's meaning does not count", "key", e.Entry.Key, "error", err)
			return
		}
		t.saw(n, false)
	case bucket.Deleted:
		t.forgotten(e.Entry.Key)
	case bucket.Reset, bucket.Synced:
		// What was seen was seen: that the bucket has lost it makes it no less true.
	}
}

// forgotten drops what another replica has forgotten.
func (t *SharedTags) forgotten(key string) {
	id, ok := parseTagID(key)
	t.mu.Lock()
	defer t.mu.Unlock()
	h, known := t.known[id]
	if !ok || !known || !h.kept {
		return // or it was seen again since
	}
	delete(t.known, id)
	t.tags.forgetOne(h.seen)
}

// writeAll does what is undone, one after another, as long as ctx lasts.
func (t *SharedTags) writeAll(ctx context.Context) {
	for {
		select {
		case <-t.more:
		case <-ctx.Done():
			return
		}
		for {
			id, c, ok := t.next()
			if !ok {
				break
			}
			if err := t.do(ctx, id, c); err != nil {
				if ctx.Err() != nil {
					return
				}
				t.o.Logger.Warn("what a tag means could not be written, and is tried again", "error", err)
				if !pause.For(ctx, writePause+rand.N(writePause)) { //nolint:gosec // no secret, a pause
					return
				}
				continue
			}
			t.done(id, c)
		}
	}
}

func (t *SharedTags) next() (id tagID, c change, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost > 0 {
		t.o.Logger.Warn("what tags mean was not written: too much waits to be; it is known to this replica alone, until it ends", "tags", t.lost)
		t.lost = 0
	}
	for id, c = range t.undone {
		return id, c, true
	}
	return id, c, false
}

func (t *SharedTags) do(ctx context.Context, id tagID, c change) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if c.remove {
		return t.o.Bucket.Delete(ctx, id.String(), 0)
	}
	_, err := t.o.Bucket.Put(ctx, id.String(), c.seen.value(), nil)
	if errors.Is(err, bucket.ErrFull) {
		// There is no room, and to try again would keep the removals from being made.
		t.o.Logger.Warn("what a tag means was not written", "error", err)
		return nil
	}
	return err
}

// done takes off what was done, unless something else is to be done by now.
func (t *SharedTags) done(id tagID, c change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.undone[id] != c {
		return
	}
	delete(t.undone, id)
	if c.remove {
		return
	}
	t.writes--
	if h, ok := t.known[id]; ok {
		t.known[id] = held{seen: h.seen, kept: true}
	}
}

// tagID is the hash of what was seen. It is the key, so that a value that is not
// what it was does not count.
type tagID [sha256.Size]byte

func (i tagID) String() string { return hex.EncodeToString(i[:]) }

func parseTagID(key string) (id tagID, ok bool) {
	b, err := hex.DecodeString(key)
	return tagID(append(b, make([]byte, max(len(id)-len(b), 0))...)[:len(id)]), err == nil && len(b) == len(id)
}

func (n seen) id() tagID { return sha256.Sum256(n.value()) }

// tagValue is what was seen as it is kept. Fields may be added and are passed over
// by older providers, but then the key is no longer its hash: a new key is needed.
type tagValue struct {
	Namespace string `json:"namespace"`
	Tag       string `json:"tag"`
	Digest    string `json:"digest"`
}

func (n seen) value() []byte {
	b, err := json.Marshal(tagValue{n.namespace, n.pair.tag, n.pair.digest})
	if err != nil {
		panic(fmt.Sprintf("three strings have no JSON: %v", err)) // they always have
	}
	return b
}

func readSeen(key string, value []byte) (seen, error) {
	id, ok := parseTagID(key)
	switch {
	case len(value) > maxTagValue:
		return seen{}, fmt.Errorf("it has %d bytes", len(value))
	case !ok || sha256.Sum256(value) != id:
		return seen{}, errors.New("its key is not its checksum")
	}
	var v tagValue
	if err := json.Unmarshal(value, &v); err != nil {
		return seen{}, err
	}
	if v.Tag == "" || v.Digest == "" {
		return seen{}, errors.New("it names no tag, or no digest")
	}
	return seen{v.Namespace, pair{v.Tag, v.Digest}}, nil
}
