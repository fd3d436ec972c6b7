package attached

import (
	"context"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/report"
)

// Backend is a scanner behind a look-up of what is attached to the images.
type Backend struct {
	finder *Finder
	next   route.Backend
	// reports says whether an attached report stands in for a scan.
	reports bool
}

// Wrap returns next behind the look-up. It makes no scan of an image that has a
// report attached.
func (f *Finder) Wrap(next route.Backend) *Backend {
	return &Backend{finder: f, next: next, reports: true}
}

// WrapVEX returns next behind a look-up of VEX documents only. It is for a
// scanner that judges by a policy of its own, whose judgement no report can
// replace.
func (f *Finder) WrapVEX(next route.Backend) *Backend { return &Backend{finder: f, next: next} }

// Scan returns the report that is attached to the image, or has next scan it,
// with the VEX documents that are attached. A look-up that fails, for whatever
// reason, costs its time and nothing else: errors are next's own, and the scan
// is worth making again soon.
func (b *Backend) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	found, failed := b.finder.look(ctx, image, b.reports)
	if failed != nil {
		// What could not be read might be a statement that a finding stands.
		found = &Found{}
	}
	scan := found.Scan
	if scan == nil {
		var err error
		if scan, err = b.next.Scan(ctx, image); err != nil {
			return nil, err
		}
	} else {
		scan.Attached, scan.ValidUntil = true, b.finder.options.until(scan)
	}
	scan.SignedBy = found.SignedBy
	for _, d := range found.VEX {
		scan.VEX = append(scan.VEX, d.Raw)
	}
	if failed != nil {
		scan.RefreshAt = b.finder.options.Now().Add(again(failed))
	}
	return scan, nil
}

// Sharing is by name: what is attached to an image in one repository says
// nothing about the same digest in another, where nobody may have attached it.
func (b *Backend) Sharing(backend.Image) backend.Sharing { return backend.ByName }

// Ready is next's: attachments never cover all images.
func (b *Backend) Ready(ctx context.Context) error { return b.next.Ready(ctx) }

// Generation is next's: what a scan made now would be based on.
func (b *Backend) Generation(ctx context.Context) (backend.Generation, error) {
	return b.next.Generation(ctx)
}
