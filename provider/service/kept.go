package service

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
)

// Image is an image as somebody asked about it, by which what is kept of it can be
// read again without a registry: see Kept.
type Image struct {
	// Reference is what was asked for, Written what the Pod's author wrote in its
	// place where that is known to be true, else the same.
	Reference, Written string
	// Digest is of the index or manifest that it means.
	Digest string
	// Namespace is the Pod's; empty when the asker named none.
	Namespace string
	// Manifests are those that are judged, the worst of which counts.
	Manifests []ImageManifest

	resolved *registry.Resolved
}

// ImageManifest is one manifest of an image.
type ImageManifest struct {
	Digest string
	// Platform is os/arch[/variant]; empty when the image does not say.
	Platform string
	// Key is what its report is kept under.
	Key string
}

// Known makes an Image of nothing but a report's key and its manifest's digest, of
// which nobody has told the name: exceptions for named images do not hold for it.
func Known(key, digest string) Image {
	return Image{
		Digest:    digest,
		Manifests: []ImageManifest{{Digest: digest, Key: key}},
		resolved:  &registry.Resolved{Digest: digest, Manifests: []registry.Manifest{{Digest: digest}}},
	}
}

func (s *Service) imageOf(q Query, res *registry.Resolved) *Image {
	if s.o.Seen == nil {
		return nil
	}
	i := &Image{Reference: q.Reference, Digest: res.Digest, Namespace: q.Access.Namespace, resolved: res}
	for _, m := range res.Manifests {
		i.Manifests = append(i.Manifests, ImageManifest{
			Digest: m.Digest, Platform: m.Platform, Key: s.storeKey(task{resolved: res, manifest: m, access: q.Access}),
		})
	}
	return i
}

// Read returns the report kept under a key, or nil; an error means that it cannot be
// known. Store.Get is one.
type Read func(ctx context.Context, key string) (*report.Scan, error)

// Kept is what is said of an image without a question to a registry or scanner.
type Kept struct {
	// Report has all findings, and is otherwise what a Pod in the image's namespace
	// would be answered.
	Report report.ScanReport
	// Judgement is the scanner's own, where it makes one.
	Judgement report.Judgement
	// Platforms are those of the manifests that were judged.
	Platforms []string
}

// Kept says what is known of an image now: it starts no scan and waits for none.
func (s *Service) Kept(ctx context.Context, i Image, read Read) (Kept, error) {
	answers := make([]answer, 0, len(i.Manifests))
	var out Kept
	for _, m := range i.Manifests {
		stored, err := read(ctx, m.Key)
		var a answer
		if err != nil {
			a = failedAnswer(m.Digest, &report.Failure{Reason: report.ReasonUnavailable, Message: unavailable(err), Err: err}, time.Time{}, s.o.Now())
		} else {
			a = s.kept(i, m, stored)
		}
		a.platform = m.Platform
		answers = append(answers, a)
		if m.Platform != "" && !slices.Contains(out.Platforms, m.Platform) {
			out.Platforms = append(out.Platforms, m.Platform)
		}
	}
	if len(answers) == 0 {
		answers = []answer{{status: report.NotAvailable, message: "it is not known which manifests the image has"}}
	}
	a := combine(answers, i.Digest)
	if a.scan != nil {
		out.Judgement = a.scan.Judgement
	}
	r := report.ScanReport{ImageAndTag: i.Written, Status: a.status, Digest: a.digest, Message: a.message}
	if i.Written != i.Reference {
		r.Image = i.Reference
	}
	var err error
	out.Report, err = report.Render(r, a.scan, report.ViewFindings, math.MaxInt)
	return out, err
}

// KeptOne is the verdict on the report of one manifest of an image.
func (s *Service) KeptOne(i Image, m ImageManifest, stored *report.Scan) (report.Status, string, *report.Scan) {
	a := s.kept(i, m, stored)
	return a.status, a.message, a.scan
}

// kept is begin without what it sets off.
func (s *Service) kept(i Image, m ImageManifest, stored *report.Scan) answer {
	resolved := i.resolved
	if resolved == nil { // it was not made here
		resolved = &registry.Resolved{Reference: i.Reference, Digest: i.Digest}
	}
	t := task{
		resolved: resolved, manifest: registry.Manifest{Digest: m.Digest, Platform: m.Platform},
		access: registry.Access{Namespace: i.Namespace},
	}
	q := Query{Reference: i.Written, Access: t.access}
	var note string
	if stored != nil {
		if s.freshness(stored) != expired {
			return s.judged(q, t, stored, lookupHit)
		}
		note = s.expiredNote(stored)
	}
	if f, until := s.failures.get(t); f != nil {
		return failedAnswer(m.Digest, f, until, s.o.Now())
	}
	if s.queue.Asked(s.jobKey(t)) {
		return s.pending(t, note+"the scan was asked for and is not finished")
	}
	return s.pending(t, note+"there is no report; the image is scanned when it is asked for")
}

// Ends is the next moment at which a scan stops to count for its age; zero: never.
func (s *Service) Ends(scan *report.Scan) time.Time {
	var at time.Time
	if s.o.MaxAge > 0 {
		at = scan.ScannedAt.Add(s.o.MaxAge)
	}
	if v := scan.ValidUntil; !v.IsZero() && (at.IsZero() || v.Before(at)) {
		at = v
	}
	return at
}

// Expired reports whether a scan does not count any more, so that it would be made
// again before anything is answered from it.
func (s *Service) Expired(scan *report.Scan) bool { return s.freshness(scan) == expired }
