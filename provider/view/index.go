package view

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

const (
	// settle is how long changes are gathered before they are read.
	settle = 300 * time.Millisecond
	// judgedFor is how long a verdict of the index is good at most: what else it depends
	// on is looked at again by then.
	judgedFor = time.Hour
	// lookEvery is how often is looked for verdicts that may have changed.
	lookEvery = time.Minute
	// maxIndexBytes bounds what is kept of findings. Of reports beyond it their numbers
	// are known, and not which vulnerabilities they have.
	maxIndexBytes = 128 << 20
	// perFind is what one finding takes.
	perFind = 12
)

// find is one finding of a report, by the numbers of texts.
type find struct {
	id, where uint32
	severity  uint8
	flags     uint8
}

// The flags of a find.
const (
	findExploited = 1 << iota
	findSuppressed
	findFixed
)

// place is the package of a finding, as one text.
func placeOf(v *report.Vulnerability) string {
	return strings.Join([]string{clean(v.Package), clean(v.Installed), clean(v.Fixed)}, "\n")
}

func splitPlace(s string) (name, installed, fixed string) {
	name, rest, _ := strings.Cut(s, "\n")
	installed, fixed, _ = strings.Cut(rest, "\n")
	return name, installed, fixed
}

// row is what is known of one report without reading it. It does not change.
type row struct {
	key, digest string
	// names are how the image was asked for, namespaces from where; empty: not since
	// the start.
	names      []string
	namespaces []string
	platform   string
	// digests are those that it goes by: the manifest's, and those of indexes.
	digests []string

	// answer is the worst for any of the names; answers are by the namespaces that
	// have asked, nameless without a name.
	answer
	answers  map[string]answer
	nameless answer

	scanner string
	scanned time.Time
	// database is zero where it is not known.
	database time.Time
	// summary is nil where the numbers are not known.
	summary *report.Summary

	// finds are what the report lists; whole is false where it does not, or where
	// there was no room.
	finds []find
	whole bool
	// suppressedBy are the reasons for which findings do not count, for whoever asked.
	suppressedBy []string

	revision, generation uint64
	judged, until        time.Time
}

// index is a summary of all reports that are stored. It follows the store, so that no
// page has to read them.
type index struct {
	reports Reports
	scans   Scans
	judge   ListJudge
	names   *Names
	now     func() time.Time
	log     *slog.Logger
	// most is maxIndexBytes but for tests.
	most int64

	mu   sync.RWMutex
	rows map[string]*row
	// ids are the identifiers of findings, places their packages.
	ids, places *texts
	// byAlias has the identifiers that go by another name too, aliases the names.
	byAlias map[string][]uint32
	aliases map[uint32][]string
	finds   int64
	// complete says that all reports that the store has told of were read once, stored
	// how many there are, unread how many could not be.
	complete       bool
	stored, unread int
}

func newIndex(o *Options) *index {
	return &index{
		reports: o.Reports, scans: o.Scans, judge: o.Judge, names: o.Names, now: o.Now, log: o.Logger, most: maxIndexBytes,
		rows: map[string]*row{}, ids: newTexts(), places: newTexts(), byAlias: map[string][]uint32{}, aliases: map[uint32][]string{},
	}
}

// run follows the store until ctx ends.
func (x *index) run(ctx context.Context) {
	for {
		changed := x.reports.Changed()
		x.update(ctx)
		select {
		case <-changed:
		case <-x.names.told:
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return
		}
	}
}

// update reads what is new, or may be judged otherwise now.
func (x *index) update(ctx context.Context) {
	all, synced := x.reports.All()
	renamed, generation := x.names.take(), x.judge.Generation()
	there := make(map[string]bool, len(all))
	unread := 0
	x.mu.Lock()
	x.stored = len(all)
	x.mu.Unlock()
	for _, s := range all {
		there[s.Key] = true
		x.mu.RLock()
		r := x.rows[s.Key]
		x.mu.RUnlock()
		now := x.now()
		if r != nil && r.revision == s.Revision && r.generation == generation && !renamed[s.Key] && now.Before(r.until) {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		if !x.take(ctx, s.Key, s.Revision, generation) {
			unread++
			x.names.again(s.Key)
			x.mu.Lock()
			x.unread = max(x.unread, unread) // a pass takes long, and its end may not come
			x.mu.Unlock()
			continue
		}
		// Half of one core at most: those who wait for an answer come first.
		select {
		case <-time.After(min(time.Since(began), settle)):
		case <-ctx.Done():
			return
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for key, r := range x.rows {
		if !there[key] {
			x.release(r)
			delete(x.rows, key)
		}
	}
	x.complete, x.unread = synced, unread
}

// take reads one report and puts its row into the index. It is false when the report
// cannot be read.
func (x *index) take(ctx context.Context, key string, revision, generation uint64) bool {
	scan, err := x.reports.Peek(ctx, key)
	if err != nil {
		x.log.DebugContext(ctx, "a report was not read for the pages", "key", key, "error", err)
		return false
	}
	if scan == nil {
		return true // it is gone
	}
	r, judged := x.judged(key, scan)
	r.revision, r.generation = revision, generation
	x.mu.Lock()
	defer x.mu.Unlock()
	if before := x.rows[key]; before != nil {
		x.release(before)
	}
	x.keep(r, judged)
	x.rows[key] = r
	return true
}

// judged makes the row of a scan, which is judged as each of those who asked for it
// would be answered: the worst counts. The second result is the scan with what is
// suppressed.
func (x *index) judged(key string, scan *report.Scan) (*row, *report.Scan) {
	now := x.now()
	r := &row{key: key, digest: scan.Subject, digests: []string{scan.Subject}, scanner: clean(scan.Scanner), scanned: scan.ScannedAt, database: scan.DatabaseBuiltAt, judged: now}
	nameless := service.Known(key, scan.Subject)
	images, all := x.names.ofKey(key)
	for _, i := range images {
		if !slices.Contains(r.names, i.Written) {
			r.names = append(r.names, i.Written)
		}
		if !slices.Contains(r.digests, i.Digest) {
			r.digests = append(r.digests, i.Digest)
		}
		if i.Namespace != "" && !slices.Contains(r.namespaces, i.Namespace) {
			r.namespaces = append(r.namespaces, i.Namespace)
		}
	}
	if !all || len(images) == 0 {
		images = append(images, nameless)
	}
	slices.Sort(r.namespaces)
	// Without a name no exception for named images holds: no name fares worse.
	status, message, _ := x.scans.KeptOne(nameless, nameless.Manifests[0], scan)
	r.nameless = answer{status, clean(message)}
	found := scan
	for n, i := range images {
		for _, m := range i.Manifests {
			if m.Key != key {
				continue
			}
			status, message, judged := x.scans.KeptOne(i, m, scan)
			r.suppress(judged)
			given := answer{status, clean(message)}
			r.tell(i.Namespace, given)
			if n > 0 && !given.worse(r.answer) {
				continue
			}
			r.answer, r.platform, r.summary = given, clean(m.Platform), nil
			if judged == nil {
				continue
			}
			found = judged
			if s, err := report.Render(report.ScanReport{}, judged, report.ViewSummary, report.MaxSummaryBytes); err == nil && s.Summary != nil {
				s.Summary.Worst, s.Summary.SuppressedBy = nil, nil
				r.summary = s.Summary
			}
		}
	}
	if !all {
		for namespace := range r.answers {
			r.tell(namespace, r.nameless) // of the names that were not looked at
		}
	}
	r.until = now.Add(judgedFor)
	for _, t := range []time.Time{x.judge.Until(scan), x.scans.Ends(scan)} {
		if t.After(now) && t.Before(r.until) {
			r.until = t
		}
	}
	return r, found
}

// maxReasons bounds the reasons of one row.
const maxReasons = 64

func (r *row) suppress(scan *report.Scan) {
	if scan == nil {
		return
	}
	for n := range scan.Vulnerabilities {
		by := scan.Vulnerabilities[n].Suppressed
		if by != "" && len(r.suppressedBy) < maxReasons && !slices.Contains(r.suppressedBy, by) {
			r.suppressedBy = append(r.suppressedBy, by)
		}
	}
}

// keep keeps the findings of a row, as far as there is room. x.mu is held.
func (x *index) keep(r *row, scan *report.Scan) {
	if scan.Unlisted || x.bytes()+int64(len(scan.Vulnerabilities))*perFind > x.most {
		return
	}
	r.whole = true
	r.finds = make([]find, len(scan.Vulnerabilities))
	x.finds += int64(len(r.finds))
	for n := range scan.Vulnerabilities {
		v := &scan.Vulnerabilities[n]
		f := &r.finds[n]
		id, added := x.ids.use(clean(v.ID))
		f.id = id
		f.where, _ = x.places.use(placeOf(v))
		f.severity = uint8(v.Severity)
		if v.KnownExploited != nil {
			f.flags |= findExploited
		}
		if v.Suppressed != "" {
			f.flags |= findSuppressed
		}
		if v.Fixed != "" {
			f.flags |= findFixed
		}
		if added {
			x.alias(id, v.Aliases)
		}
	}
}

// maxAliases bounds the other names of one identifier by which it is found.
const maxAliases = 16

func (x *index) alias(id uint32, names []string) {
	for _, a := range names[:min(len(names), maxAliases)] {
		a = strings.ToUpper(clean(a))
		if len(x.byAlias[a]) < maxAliases {
			x.byAlias[a] = append(x.byAlias[a], id)
			x.aliases[id] = append(x.aliases[id], a)
		}
	}
}

// release ends what a row has of the texts. x.mu is held.
func (x *index) release(r *row) {
	x.finds -= int64(len(r.finds))
	for _, f := range r.finds {
		x.places.end(f.where)
		if !x.ids.end(f.id) {
			continue
		}
		for _, a := range x.aliases[f.id] {
			x.byAlias[a] = slices.DeleteFunc(x.byAlias[a], func(id uint32) bool { return id == f.id })
			if len(x.byAlias[a]) == 0 {
				delete(x.byAlias, a)
			}
		}
		delete(x.aliases, f.id)
	}
}

// bytes is about what the findings take. x.mu is held.
func (x *index) bytes() int64 {
	const perAlias = 160
	return x.finds*perFind + x.ids.bytes + x.places.bytes + int64(len(x.byAlias))*perAlias
}

// list returns all rows, in no order.
func (x *index) list() []*row {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]*row, 0, len(x.rows))
	for _, r := range x.rows {
		out = append(out, r)
	}
	return out
}

// state says how far the index is.
type state struct {
	rows, stored, unread int
	complete             bool
	// partial is how many rows have no list of their findings.
	partial int
	bytes   int64
	// oldest and newest are of scans and of their vulnerability data, as far as known.
	oldestScan, newestScan         time.Time
	oldestDatabase, newestDatabase time.Time
	// undated is how many scans do not say how old their data is.
	undated int
}

// none is said where there is no row.
func (s state) none() string {
	if !s.complete || s.unread > 0 {
		return "No report has been read yet"
	}
	return "There are no reports yet"
}

func (x *index) state() state {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := state{rows: len(x.rows), stored: x.stored, unread: x.unread, complete: x.complete, bytes: x.bytes()}
	span := func(oldest, newest *time.Time, t time.Time) {
		if oldest.IsZero() || t.Before(*oldest) {
			*oldest = t
		}
		if t.After(*newest) {
			*newest = t
		}
	}
	for _, r := range x.rows {
		if !r.whole {
			s.partial++
		}
		span(&s.oldestScan, &s.newestScan, r.scanned)
		if r.database.IsZero() {
			s.undated++
		} else {
			span(&s.oldestDatabase, &s.newestDatabase, r.database)
		}
	}
	return s
}

// identifiers are those that a vulnerability goes by, which may be asked for by
// another of its names. x.mu is held for reading.
func (x *index) identifiers(name string) map[uint32]bool {
	out := map[uint32]bool{}
	for _, n := range []string{name, strings.ToUpper(name)} {
		if id, ok := x.ids.at[n]; ok {
			out[id] = true
		}
		for _, id := range x.byAlias[n] {
			out[id] = true
		}
	}
	return out
}
