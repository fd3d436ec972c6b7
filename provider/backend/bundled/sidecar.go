package bundled

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/report"
)

// SocketURL begins the address of a worker in a container of its own: unix:// and
// the path of its socket.
const SocketURL = "unix://"

// What the worker says of itself.
const (
	verifiesProperty = "imagegate.dev/verifies"
	workersProperty  = "imagegate.dev/workers"
)

// Client is a client of the worker's API.
type Client interface {
	route.Backend
	// Property is one of those that the scanner's metadata have; empty where it has
	// none of that name.
	Property(ctx context.Context, name string) (string, error)
	// Answers asks a path beside the API: nil when the status is 200.
	Answers(ctx context.Context, path string) error
}

// Sidecar is a Backend: the bundled worker in a container beside the provider's,
// with a limit of memory of its own, at a socket in a volume that only the two
// have. It is trusted as the child process is.
type Sidecar struct {
	next    Client
	workers int
	log     *slog.Logger
	told    sync.Once
}

// NewSidecar returns next, a client of the worker at the socket, as a Backend that
// has workers scans under way at once.
func NewSidecar(next Client, workers int, log *slog.Logger) *Sidecar {
	return &Sidecar{next: next, workers: workers, log: log}
}

// Scan is next's, of a worker that is imagegate's own: what another scanner says
// would count for more than it looked at.
func (s *Sidecar) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	if err := s.known(ctx); err != nil {
		return nil, err
	}
	return s.next.Scan(ctx, image)
}

// Sharing is by digest, as with the child process.
func (s *Sidecar) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }

// Ready is the worker's own readiness: its API answers before it has a
// vulnerability database, and a scan would fail then.
func (s *Sidecar) Ready(ctx context.Context) error {
	if err := s.known(ctx); err != nil {
		return err
	}
	return s.next.Answers(ctx, "/readyz")
}

// Generation is next's.
func (s *Sidecar) Generation(ctx context.Context) (backend.Generation, error) {
	return s.next.Generation(ctx)
}

// known returns why what answers is not to be believed. Its errors are
// *report.Failure.
func (s *Sidecar) known(ctx context.Context) error {
	verifies, err := s.next.Property(ctx, verifiesProperty)
	if err != nil {
		return err
	}
	if verifies != "true" {
		return &report.Failure{
			Reason:  report.ReasonInternal,
			Message: "what answers at scanner.bundled.url is not imagegate's own scanner; name others in scanner.harbor.url",
		}
	}
	runs, err := s.next.Property(ctx, workersProperty)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(runs); err == nil && n < s.workers {
		s.told.Do(func() {
			s.log.Warn("the scanner at scanner.bundled.url runs fewer scans at once than scan.workers says: the rest waits there, "+
				"where namespaces cannot take turns; give its --workers the same number", "its", n, "scan.workers", s.workers)
		})
	}
	return nil
}

// WaitReady returns when the worker can scan, or with the reason why it cannot yet
// after patience, which may be zero for the default of Options.ReadyTimeout.
func (s *Sidecar) WaitReady(ctx context.Context, patience time.Duration) error {
	if patience == 0 {
		patience = readyTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return waitReady(ctx, s.Ready, nil)
}

// CheckSocketURL says what is wrong with the address of a Sidecar.
func CheckSocketURL(url string) error {
	if path, ok := strings.CutPrefix(url, SocketURL); !ok || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("must be %s and the whole path of the worker's socket", SocketURL)
	}
	return nil
}
