package attached

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/backend/attached/signature"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

// maxVEXBytes bounds the OpenVEX documents of one image together: they are kept
// with its scan.
const maxVEXBytes = 1 << 20

// Finder looks for reports attached to images.
type Finder struct {
	options Options
	keys    *filewatch.Content[signature.Keys]
	ways    *transport.Set
	quiet   *quiet
	metrics *metrics
	slots   *turns.Turns
}

// New checks the options and reads the keys.
func New(o Options) (*Finder, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &Finder{options: o, slots: turns.New(turns.Limits{Turns: o.Concurrency, Waiting: maxWaiting})}
	f.keys = o.followedKeys()
	if _, err := f.keys.Reload(); err != nil {
		return nil, err
	}
	f.ways = transport.NewSet(o.Hosts, o.Timeout, o.Concurrency)
	if f.quiet, err = newQuiet(o.Now); err != nil {
		return nil, err
	}
	if f.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return f, nil
}

// Start follows the files of keys until ctx ends. Files that cannot be read leave
// the keys that were read before in use. Its error says that watching could not
// begin at all.
func (f *Finder) Start(ctx context.Context) error {
	if len(f.options.KeyFiles) == 0 {
		<-ctx.Done()
		return nil
	}
	return filewatch.Follow(ctx, f.options.Logger, f.options.KeyFiles, func() {
		switch changed, err := f.keys.Reload(); {
		case err != nil:
			f.options.Logger.ErrorContext(ctx, "cannot reload the keys of attached reports; those read before stay in use", "error", err)
		case changed:
			f.options.Logger.InfoContext(ctx, "loaded the keys of attached reports", "files", f.options.KeyFiles)
		}
		f.metrics.observeKeys(f.keys)
	})
}

// Believed is what report.Scan.Believed calls the authors of attached reports
// while Options.Unstated is set.
const Believed = "scanner.attached"

// Trusts reports whether everything attached that a scan is made of was signed
// with keys that are still configured, and says as much as is still asked of it.
func (f *Finder) Trusts(scan *report.Scan) bool {
	if scan.Attached && scan.Coverage == nil && !f.options.Unstated {
		return false
	}
	keys, err := f.keys.Get()
	return err == nil && !slices.ContainsFunc(scan.SignedBy, func(id string) bool { return !keys.Has(id) })
}

// Close drops idle connections.
func (f *Finder) Close() { f.ways.CloseIdle() }

// Found is what is attached to an image and counts.
type Found struct {
	// SignedBy are the IDs of the keys that signed it.
	SignedBy []string
	// Scan is the newest report, nil when there is none.
	Scan *report.Scan
	// VEX are the OpenVEX documents, in the order of their attachments' digests.
	VEX []Document
}

// Document is an OpenVEX document that somebody with a configured key stated
// about the image. Its age is not judged.
type Document struct {
	// Attachment is the digest of the blob that it came in.
	Attachment string
	// Raw is the document as it is, or what became of CycloneDX's analyses.
	Raw json.RawMessage
}

// VEX returns the OpenVEX documents that are attached to the image. Without an
// error they are all there are. It asks the registry each time: Find returns
// them together with the report.
func (f *Finder) VEX(ctx context.Context, image backend.Image) ([]Document, error) {
	found, err := f.look(ctx, image, false)
	if err != nil {
		return nil, err
	}
	return found.VEX, nil
}

// Find looks for all that is attached to the image and counts. An error means
// that something could not be looked at, and nothing was found: what could not
// be might overrule the rest.
func (f *Finder) Find(ctx context.Context, image backend.Image) (*Found, error) {
	return f.look(ctx, image, true)
}

// look passes over reports where they are not wanted.
func (f *Finder) look(ctx context.Context, image backend.Image, reports bool) (*Found, error) {
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	keys, err := f.keys.Get()
	if err != nil {
		return nil, err // New has seen them load
	}
	l := &lookup{Finder: f, image: image, trusted: keys, reports: reports}
	found, err := l.find(ctx, image)
	switch {
	case err != nil:
		f.metrics.lookups.WithLabelValues(lookupFailed).Inc()
		f.options.Logger.Warn("looking for reports attached to an image; it will be scanned", "digest", image.Digest,
			"error", report.Clean(err.Error(), maxReason))
		return nil, fmt.Errorf("looking for reports attached to %s: %w", image.Digest, err)
	case found.Scan == nil:
		f.metrics.lookups.WithLabelValues(lookupNone).Inc()
	default:
		f.metrics.lookups.WithLabelValues(lookupFound).Inc()
	}
	return found, nil
}

func (l *lookup) find(ctx context.Context, image backend.Image) (*Found, error) {
	var err error
	if l.source, err = l.open(ctx, image); err != nil {
		return nil, err
	}
	l.config = sync.OnceValues(func() (string, error) { return l.source.config(ctx) })
	blobs, err := l.list(ctx)
	if err != nil {
		return nil, err
	}
	err = l.each(ctx, len(blobs), func(ctx context.Context, i int) error {
		r, err := l.read(ctx, blobs[i])
		if err != nil {
			return err
		}
		return l.take(r)
	})
	if err != nil {
		return nil, err
	}
	return l.choose(), nil
}

// maxWaiting bounds the attachments that wait to be read, over all look-ups.
const maxWaiting = 4096

// each does n things, a few at a time, over all look-ups, which share them by
// whose image it is. The first error ends the rest.
func (l *lookup) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(l.options.Concurrency)
	for i := range n {
		group.Go(func() error {
			done, err := l.slots.Take(ctx, turns.Share{Namespace: l.image.Share})
			if err != nil {
				return fmt.Errorf("waiting to read an attachment: %w", err)
			}
			defer done()
			return do(ctx, i)
		})
	}
	return group.Wait()
}

// result is what came of one attachment: a report or a VEX document that counts,
// or nothing.
type result struct {
	digest string
	// key is the ID of the key that signed it.
	key    string
	report *report.Scan
	vex    json.RawMessage
	// lackingAt is when a report was made that does not count for what it lacks:
	// it overrules older ones all the same. One dated in the future does not: it
	// would for ever.
	lackingAt time.Time
}

// errUnusable fails the look-up: a VEX document that is meant to count and
// cannot be read might be a statement that a finding stands.
var errUnusable = errors.New("its VEX document cannot be used")

// read fetches and judges one attachment. What cannot be fetched is an error,
// and what is errUnusable.
func (l *lookup) read(ctx context.Context, b attachment) (result, error) {
	data, err := l.source.blob(ctx, b.digest)
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		l.count(tooLarge, b.digest.String(), err)
		return result{}, nil
	case errors.Is(err, errMissing):
		l.count(malformed, b.digest.String(), err)
		return result{}, nil
	case err != nil:
		return result{}, err
	}
	r, out, err := l.judge(ctx, b.mediaType, data)
	if ctx.Err() != nil {
		return result{}, ctx.Err() // a signature may have gone unchecked
	}
	if errors.Is(err, errUnread) {
		return result{}, fmt.Errorf("attachment %s: %w", b.digest, err)
	}
	if out != used {
		l.count(out, b.digest.String(), err)
		if errors.Is(err, errUnusable) {
			return result{}, fmt.Errorf("attachment %s: %w", b.digest, err)
		}
	}
	r.digest = b.digest.String()
	return r, nil
}

// judge says whether an attachment counts, else why not.
func (l *lookup) judge(ctx context.Context, mediaType string, data []byte) (result, outcome, error) {
	payload, key, err := l.trusted.Open(ctx, mediaType, data)
	if err != nil {
		return result{}, ofSignature(err), err
	}
	r, out, err := l.judgeStatement(payload)
	r.key = key
	return r, out, err
}

// judgeStatement says the same of a statement that is signed.
func (l *lookup) judgeStatement(payload []byte) (result, outcome, error) {
	statement, err := predicate.ParseStatement(payload)
	if err != nil {
		return result{}, ofPredicate(err), err
	}
	subject := l.subjectOf(statement)
	if subject == "" {
		return result{}, wrongSubject, errors.New("its subject is neither the image nor its index")
	}
	vex, err := predicate.ReadVEX(statement, subject)
	switch {
	case errors.Is(err, predicate.ErrUnsupported):
		return result{}, unsupported, err
	case err != nil:
		return result{}, malformed, fmt.Errorf("%w: %w", errUnusable, err)
	case len(vex) > maxVEXBytes:
		return result{}, tooLarge, fmt.Errorf("%w: it is of %d bytes, more than %d", errUnusable, len(vex), maxVEXBytes)
	case vex != nil:
		return result{vex: vex}, used, nil
	case !l.reports:
		return result{}, unwanted, errors.New("the scanner judges by a policy of its own")
	}
	return l.judgeReport(statement, subject)
}

// subjectOf returns which of the image's digests a statement names: the image's
// own where it can, else that of its index.
func (l *lookup) subjectOf(statement *predicate.Statement) string {
	for _, s := range l.source.subjects() {
		if statement.IsAbout(s.DigestStr()) {
			return s.DigestStr()
		}
	}
	return ""
}

func (l *lookup) judgeReport(statement *predicate.Statement, subject string) (result, outcome, error) {
	f := l.Finder
	r, err := predicate.ReadReport(statement)
	if err != nil {
		return result{}, ofPredicate(err), err
	}
	if err := l.looked(r.Target, subject); err != nil {
		return result{}, otherManifest, err
	}
	if f.options.NeedFixes && !r.TellsFixes {
		return result{lackingAt: r.Scan.ScannedAt}, unsupported, errors.New("it does not tell of every finding whether there is a fix")
	}
	return f.judgeScan(r.Scan, l.image.Digest)
}

// judgeScan asks whether what a report says of the manifest is enough, and new
// enough, to stand in for a scan.
func (f *Finder) judgeScan(scan *report.Scan, digest string) (result, outcome, error) {
	now := f.options.Now()
	age := now.Sub(scan.ScannedAt)
	switch {
	case report.Future(scan.ScannedAt, now):
		return result{}, malformed, fmt.Errorf("it is dated %s in the future", (-age).Round(time.Minute))
	case report.Future(scan.DatabaseBuiltAt, now):
		return result{}, malformed, errors.New("its vulnerability data is dated in the future")
	case age > f.options.MaxAge:
		return result{}, stale, fmt.Errorf("it is %s old", age.Round(time.Minute))
	}
	// Its subject is signed, or was compared.
	scan.Subject, scan.Believed = digest, ""
	if f.options.Unstated {
		scan.Believed = Believed
	}
	err := f.covers(scan)
	if err == nil {
		err = report.Complete(scan, digest, now)
	}
	if err != nil {
		return result{lackingAt: scan.ScannedAt}, incomplete, err
	}
	if most := f.options.MaxDatabaseAge; most > 0 && now.Sub(scan.DatabaseBuiltAt) > most {
		return result{lackingAt: scan.ScannedAt}, stale, fmt.Errorf("it does not say that its vulnerability data is no older than %s", most)
	}
	return result{report: scan}, used, nil
}

// covers returns what a report lacks that a scan of one's own would tell. It asks
// more than report.Complete does: a report that is passed over costs a scan.
func (f *Finder) covers(scan *report.Scan) error {
	switch c := scan.Coverage; {
	case c == nil && f.options.Unstated:
		return nil
	case c == nil:
		return errors.New("its format does not say what was looked at")
	case c.Distribution == "":
		return errors.New("it names no distribution, so that nothing shows that the packages of one were looked for")
	case c.Gap != "":
		return errors.New(c.Gap)
	case c.Unmatched > 0:
		return fmt.Errorf("%d of %d packages could not be looked up", c.Unmatched, c.Packages)
	case c.Nothing():
		return errors.New("there was nothing to look up")
	}
	return nil
}

func ofSignature(err error) outcome {
	switch {
	case errors.Is(err, signature.ErrUnsigned):
		return unsigned
	case errors.Is(err, signature.ErrBadSignature):
		return badSignature
	case errors.Is(err, signature.ErrUnsupported):
		return unsupported
	}
	return malformed
}

func ofPredicate(err error) outcome {
	if errors.Is(err, predicate.ErrUnsupported) {
		return unsupported
	}
	return malformed
}

// maxReason bounds why an attachment is passed over, which may quote it.
const maxReason = 512

// count says what became of an attachment that does not count.
func (l *lookup) count(o outcome, attachment string, err error) {
	l.metrics.attachments.WithLabelValues(string(o)).Inc()
	log := l.options.Logger.Debug
	switch o {
	case badSignature, wrongSubject:
		log = l.options.Logger.Warn
	case incomplete, otherManifest: // somebody meant it to count
		log = l.options.Logger.Info
	default:
	}
	log("an attachment is passed over", "digest", l.image.Digest, "attachment", attachment, "outcome", string(o), "reason", report.Clean(fmt.Sprint(err), maxReason))
}
