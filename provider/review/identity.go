package review

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/imagegate/imagegate/provider/review/loopback"
)

// identity is the client certificate that the engine shows the server. The
// Rego driver takes it in no other form than a watcher of files, which costs
// one inotify instance, of which a user has few: there is one identity for each
// server, and it must be closed before the server removes the files.
type identity struct {
	watcher *certwatcher.CertWatcher
}

func newIdentity(server *loopback.Server) (*identity, error) {
	watcher, err := certwatcher.New(server.ClientFiles())
	if err != nil {
		return nil, fmt.Errorf("reading the engine's client certificate: %w", err)
	}
	return &identity{watcher: watcher}, nil
}

// close gives the inotify instance back. A watcher is closed by the end of its
// Start and by nothing else, so it is started with a context that has ended.
func (i *identity) close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := i.watcher.Start(ended); err != nil {
		return fmt.Errorf("closing the watch of the client certificate: %w", err)
	}
	return nil
}
