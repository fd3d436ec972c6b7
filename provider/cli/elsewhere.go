package cli

import (
	"context"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// elsewhere is a backend that other processes scan with. What a scan of it counts
// for has to be known here all the same, to find its report.
type elsewhere struct{ sharing backend.Sharing }

// Scan fails: this process has no part in the queue's work.
func (elsewhere) Scan(context.Context, backend.Image) (*report.Scan, error) {
	return nil, &report.Failure{Reason: report.ReasonInternal, Message: "this process of the provider makes no scans"}
}

// Sharing is that of the backend where it is.
func (e elsewhere) Sharing(backend.Image) backend.Sharing { return e.sharing }

// Ready is not for this process to say.
func (elsewhere) Ready(context.Context) error { return nil }

// Generation is told by those that have the backend.
func (elsewhere) Generation(context.Context) (backend.Generation, error) {
	return backend.Generation{}, nil
}
