package cli

import (
	"context"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner"
)

// elsewhere is a backend that other processes scan with. What a scan of it counts
// for has to be known here all the same, to find its report.
type elsewhere struct{ sharing scanner.Sharing }

// Scan fails: this process has no part in the queue's work.
func (elsewhere) Scan(context.Context, scanner.Image) (*report.Scan, error) {
	return nil, &report.Failure{Reason: report.ReasonInternal, Message: "this process of the provider makes no scans"}
}

// Sharing is that of the backend where it is.
func (e elsewhere) Sharing(scanner.Image) scanner.Sharing { return e.sharing }

// Ready is not for this process to say.
func (elsewhere) Ready(context.Context) error { return nil }

// Generation is told by those that have the backend.
func (elsewhere) Generation(context.Context) (scanner.Generation, error) {
	return scanner.Generation{}, nil
}
