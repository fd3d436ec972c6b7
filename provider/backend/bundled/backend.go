package bundled

import (
	"context"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/report"
)

// Backend is a client of the worker that asks nothing of it while it is away:
// the socket would take the question, and nobody would answer.
type Backend struct {
	worker *Worker
	next   route.Backend
}

// Guard returns next, a client of the worker's API, as a Backend.
func (w *Worker) Guard(next route.Backend) *Backend { return &Backend{worker: w, next: next} }

// Scan is next's while the worker runs. When it does not, or ends meanwhile,
// the failure is transient and says how the worker ended.
func (b *Backend) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	alive, err := b.worker.running()
	if err != nil {
		return nil, away(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)()
	scan, err := b.next.Scan(ctx, image)
	if err != nil && alive.Err() != nil {
		return nil, away(notRunning(context.Cause(alive)))
	}
	return scan, err
}

func away(err error) *report.Failure {
	return &report.Failure{Reason: report.ReasonUnavailable, Message: err.Error(), Err: err}
}

// Sharing is by digest: the worker compares the manifest, each blob and each
// layer's unpacked content with the digest that leads to it.
func (b *Backend) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }

// Ready is the worker's own readiness: its API answers before it has a
// vulnerability database, and a scan would fail then.
func (b *Backend) Ready(ctx context.Context) error { return b.worker.Ready(ctx) }

// Generation is next's while the worker runs.
func (b *Backend) Generation(ctx context.Context) (backend.Generation, error) {
	if _, err := b.worker.running(); err != nil {
		return backend.Generation{}, err
	}
	return b.next.Generation(ctx)
}
