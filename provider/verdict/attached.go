package verdict

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/imagegate/imagegate/provider/report"
)

// maxAttached bounds the attached documents that are kept parsed.
const maxAttached = 256

// attachedVEX remembers the documents that came with images, by their hash: the
// same scan is judged at every Pod.
type attachedVEX struct {
	parsed *lru.Cache[[sha256.Size]byte, *statements]
}

func newAttachedVEX() (*attachedVEX, error) {
	parsed, err := lru.New[[sha256.Size]byte, *statements](maxAttached)
	if err != nil {
		return nil, fmt.Errorf("making the memory of attached VEX documents: %w", err)
	}
	return &attachedVEX{parsed: parsed}, nil
}

// join returns the configured statements together with those that came with
// the scan, so that the latest of all holds, wherever it stands.
func (j *Judge) join(configured *statements, scan *report.Scan) *statements {
	if len(scan.VEX) == 0 {
		return configured
	}
	out := &statements{byName: map[string][]*statement{}}
	for _, s := range configured.all {
		out.add(s)
	}
	for _, s := range j.attachedStatements(scan.VEX).all {
		out.add(s)
	}
	return out
}

// attachedStatements reads the documents of one scan together, since a later
// version of a document replaces an earlier one. Where one of them cannot be
// read, none sets a finding aside: it might have said that the finding stands.
func (j *Judge) attachedStatements(documents []json.RawMessage) *statements {
	hash := sha256.New()
	names, contents := make([]string, len(documents)), make([][]byte, len(documents))
	for i, raw := range documents {
		names[i], contents[i] = fmt.Sprintf("attached VEX document %d", i+1), raw
		_, _ = fmt.Fprintf(hash, "%d\n", len(raw)) // a hash takes all
		_, _ = hash.Write(raw)
	}
	key := [sha256.Size]byte(hash.Sum(nil))
	if s, ok := j.attached.parsed.Get(key); ok {
		return s
	}
	s, err := parseVEX(names, contents, j.o.Now())
	if err != nil {
		j.o.Logger.Warn("attached VEX documents set nothing aside, for one cannot be read", "error", err)
		s = s.standing()
	}
	j.attached.parsed.Add(key, s)
	return s
}
