package pullthrough

import (
	"context"
	"errors"
	"strings"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/report"
)

// Backend is a scanner that reads images through a Server.
type Backend struct {
	server *Server
	next   route.Backend
}

// Guard returns next as a Backend. It is asked to scan at the server's address,
// with a token that is good for one image and as long as its scan.
func (s *Server) Guard(next route.Backend) *Backend { return &Backend{server: s, next: next} }

// Scan is next's. Errors are *report.Failure; when the registry sent other bytes
// than a digest names, or the image contradicts itself, it is that, whatever
// next says.
func (b *Backend) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	s, token, err := b.server.begin(ctx, image)
	if err != nil {
		return nil, err
	}
	defer b.server.finish(s, token)
	there := image
	there.Registry, there.Authorization = b.server.base, token.header()
	scan, err := b.next.Scan(s.ctx, there)
	if f := s.failure(); f != nil {
		return nil, f // a scan without it would say nothing of what is in there
	}
	return scan, b.named(err, image)
}

// named gives a failure that speaks of the server's address the registry's
// instead, which is the one that a Pod's author knows.
func (b *Backend) named(err error, image backend.Image) error {
	f, ok := errors.AsType[*report.Failure](err)
	if !ok {
		return err
	}
	_, here, _ := strings.Cut(b.server.base, "://")
	_, there, _ := strings.Cut(image.Registry, "://")
	clear := *f
	clear.Message = strings.ReplaceAll(f.Message, here, there)
	return &clear
}

// Sharing is at most by repository: what the scanner kept of layers it read
// before, or past this server, was not verified.
func (b *Backend) Sharing(image backend.Image) backend.Sharing {
	return min(b.next.Sharing(image), backend.ByRepository)
}

// Ready is next's.
func (b *Backend) Ready(ctx context.Context) error { return b.next.Ready(ctx) }

// Generation is next's.
func (b *Backend) Generation(ctx context.Context) (backend.Generation, error) {
	return b.next.Generation(ctx)
}
