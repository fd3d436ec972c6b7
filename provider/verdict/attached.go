package verdict

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxAttachedBytes bounds the attached documents that are kept parsed, by what
	// they take then: an alias of four bytes takes a hundred.
	maxAttachedBytes = 32 << 20
	// maxWarned bounds the documents that are remembered as warned of.
	maxWarned = 4096
)

type documentsKey [sha256.Size]byte

// attachedVEX remembers the documents that came with images, by their hash: the
// same scan is judged at every Pod.
type attachedVEX struct {
	warned *lru.Cache[documentsKey, struct{}]

	mu     sync.Mutex
	bytes  int
	parsed *simplelru.LRU[documentsKey, *attachedDocuments]
}

// attachedDocuments are those of one scan. They are parsed once, by the first
// who asks, under no lock that others want.
type attachedDocuments struct {
	// size is as written until they are parsed.
	size    int
	weighed bool
	parse   func() *statements
}

func newAttachedVEX() (*attachedVEX, error) {
	a := &attachedVEX{}
	var err error
	if a.warned, err = lru.New[documentsKey, struct{}](maxWarned); err != nil {
		return nil, fmt.Errorf("making the memory of attached VEX documents: %w", err)
	}
	// Bounded by bytes; each takes at least the bytes of its key.
	a.parsed, err = simplelru.NewLRU(maxAttachedBytes/sha256.Size, func(_ documentsKey, d *attachedDocuments) { a.bytes -= d.size })
	if err != nil {
		return nil, fmt.Errorf("making the memory of attached VEX documents: %w", err)
	}
	return a, nil
}

// get returns what is remembered under the key, or remembers what parse returns.
// The newest stays whatever its size.
func (a *attachedVEX) get(key documentsKey, size int, parse func() *statements) *statements {
	a.mu.Lock()
	d, ok := a.parsed.Get(key)
	if !ok {
		d = &attachedDocuments{size: size + sha256.Size, parse: sync.OnceValue(parse)}
		a.parsed.Add(key, d)
		a.bytes += d.size
		a.shrink()
	}
	a.mu.Unlock()
	s := d.parse()
	a.weigh(key, d, s)
	return s
}

// weigh counts what the parsed documents take in place of the written ones.
func (a *attachedVEX) weigh(key documentsKey, d *attachedDocuments, s *statements) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.weighed {
		return
	}
	d.weighed = true
	if kept, ok := a.parsed.Peek(key); !ok || kept != d {
		return // gone meanwhile, and not counted
	}
	size := s.bytes() + sha256.Size
	a.bytes += size - d.size
	d.size = size
	a.shrink()
}

func (a *attachedVEX) shrink() {
	for a.bytes > maxAttachedBytes && a.parsed.Len() > 1 {
		a.parsed.RemoveOldest()
	}
}

// attachedStatements reads the documents of one scan together, since a later
// version of a document replaces an earlier one.
func (j *Judge) attachedStatements(scan *report.Scan) *statements {
	hash := sha256.New()
	size := 0
	for _, raw := range scan.VEX {
		_, _ = fmt.Fprintf(hash, "%d\n", len(raw)) // a hash takes all
		_, _ = hash.Write(raw)
		size += len(raw)
	}
	key := documentsKey(hash.Sum(nil))
	return j.attached.get(key, size, func() *statements { return j.parseAttached(key, scan.VEX, scan.Subject) })
}

// parseAttached reads documents. Where one of them cannot be read, none sets a
// finding aside: it might have said that the finding stands.
func (j *Judge) parseAttached(key documentsKey, documents []json.RawMessage, digest string) *statements {
	names, contents := make([]string, len(documents)), make([][]byte, len(documents))
	for i, raw := range documents {
		names[i], contents[i] = fmt.Sprintf("attached VEX document %d", i+1), raw
	}
	s, err := parseVEX(names, contents, j.o.Now())
	known, _ := j.attached.warned.ContainsOrAdd(key, struct{}{})
	if err != nil {
		if !known {
			j.o.Logger.Warn("attached VEX documents set nothing aside, for one cannot be read",
				"digest", digest, "error", report.Clean(err.Error(), maxError))
		}
		s = s.standing()
	}
	if u := s.useless(); len(u) > 0 && !known {
		j.warnOfPowerless(u, sourceAttached, "digest", digest)
	}
	return s
}

// maxError bounds what is said of documents that somebody attached.
const maxError = 1024
