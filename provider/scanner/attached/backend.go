package attached

import (
	"context"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner"
	"github.com/imagegate/imagegate/provider/scanner/route"
)

// Backend is a scanner that makes no scan of an image that has a report
// attached.
type Backend struct {
	finder *Finder
	next   route.Backend
}

// Wrap returns next behind the look-up.
func (f *Finder) Wrap(next route.Backend) *Backend { return &Backend{finder: f, next: next} }

// Scan returns the report that is attached to the image, or has next scan it,
// with the VEX documents that are attached. A look-up that fails, for whatever
// reason, costs its time and nothing else: errors are next's own.
func (b *Backend) Scan(ctx context.Context, image scanner.Image) (*report.Scan, error) {
	found, err := b.finder.Find(ctx, image)
	if err != nil {
		// What could not be read might be a statement that a finding stands.
		return b.next.Scan(ctx, image)
	}
	scan := found.Scan
	if scan == nil {
		if scan, err = b.next.Scan(ctx, image); err != nil {
			return nil, err
		}
	} else {
		scan.Attached, scan.ValidUntil = true, scan.ScannedAt.Add(b.finder.options.MaxAge)
	}
	for _, d := range found.VEX {
		scan.VEX = append(scan.VEX, d.Raw)
	}
	return scan, nil
}

// Ready is next's: attachments never cover all images.
func (b *Backend) Ready(ctx context.Context) error { return b.next.Ready(ctx) }

// Generation is next's: what a scan made now would be based on.
func (b *Backend) Generation(ctx context.Context) (scanner.Generation, error) {
	return b.next.Generation(ctx)
}
