package attached

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// chosen is what is kept while the attachments of an image are read: of reports
// the best so far alone, since each may be large.
type chosen struct {
	mu   sync.Mutex
	best result
	// lackingAt is when the newest report was made that lacks something.
	lackingAt time.Time
	vex       []Document
	vexBytes  int
	// signers are the IDs of the keys of the VEX documents.
	signers []string
}

// take keeps what came of one attachment. VEX documents that are too many bytes
// together fail the look-up, as one that is too large does.
func (l *lookup) take(r result) error {
	c := &l.chosen
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.lackingAt.After(c.lackingAt) {
		c.lackingAt = r.lackingAt
	}
	switch {
	case r.vex != nil:
		if c.vexBytes += len(r.vex); c.vexBytes > maxVEXBytes {
			return fmt.Errorf("%w: those of the image are more than %d bytes together", errUnusable, maxVEXBytes)
		}
		c.vex = append(c.vex, Document{Attachment: r.digest, Raw: r.vex})
		c.signers = append(c.signers, r.key)
		l.metrics.attachments.WithLabelValues(string(used)).Inc()
	case r.report == nil:
	case c.best.report == nil || r.better(c.best):
		if c.best.report != nil {
			l.metrics.attachments.WithLabelValues(string(stale)).Inc()
		}
		c.best = r
	default:
		l.metrics.attachments.WithLabelValues(string(stale)).Inc()
	}
	return nil
}

// better reports whether r is the newer report; of two of the same time, that in
// the attachment with the greater digest.
func (r result) better(than result) bool {
	return cmp.Or(r.report.ScannedAt.Compare(than.report.ScannedAt), cmp.Compare(r.digest, than.digest)) > 0
}

// choose returns what counts once all is read.
func (l *lookup) choose() *Found {
	c := &l.chosen
	found := &Found{VEX: documents(c.vex)}
	switch {
	case c.best.report == nil:
	case c.lackingAt.After(c.best.report.ScannedAt):
		l.count(stale, c.best.digest, fmt.Errorf("a newer report, of %s, does not count for what it lacks", c.lackingAt.Format(time.RFC3339)))
	default:
		found.Scan = c.best.report
		c.signers = append(c.signers, c.best.key)
		l.metrics.attachments.WithLabelValues(string(used)).Inc()
		l.options.Logger.Info("an attached report stands in for a scan", "digest", l.image.Digest,
			"attachment", c.best.digest, "scanner", found.Scan.Scanner, "scanned_at", found.Scan.ScannedAt)
	}
	slices.Sort(c.signers)
	found.SignedBy = slices.Compact(c.signers)
	return found
}

// documents sorts them by attachment and leaves out what is there twice: the one
// document may be attached to an index and to its manifests, or in two ways, and
// two of one version would contradict each other.
func documents(all []Document) []Document {
	slices.SortFunc(all, func(a, b Document) int { return cmp.Compare(a.Attachment, b.Attachment) })
	var out []Document
	seen := map[string]bool{}
	for _, d := range all {
		var plain bytes.Buffer
		if err := json.Compact(&plain, d.Raw); err == nil && seen[plain.String()] {
			continue
		}
		seen[plain.String()] = true
		out = append(out, d)
	}
	return out
}
