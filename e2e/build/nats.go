package build

import (
	"context"
	"io"
	"path/filepath"
)

// NATS builds the nats-server that e2e/go.mod names as a tool into the bin folder
// and returns its path.
func NATS(ctx context.Context, root string, progress io.Writer) (string, error) {
	unlock, err := lock(filepath.Join(root, ".cache", "imagegate.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	t := target{name: "nats-server", dir: filepath.Join(root, "e2e"), pkg: "github.com/nats-io/nats-server/v2", ldflags: "-s -w"}
	out := filepath.Join(root, "bin", t.name)
	return out, timed(t, progress, func() error { return compile(ctx, t, out) })
}
