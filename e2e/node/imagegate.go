package node

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/imagegate/imagegate/e2e/images"
)

// Chart is where published charts are, for Helm.
const Chart = "oci://" + Registry + "/imagegate/charts/imagegate"

// Publish makes imagegate's images and chart of the working tree as that version and
// pushes them, as `make package` does.
func (n *Node) Publish(ctx context.Context, version string) error {
	release := images.Release{Version: version}
	items, err := release.Build(ctx, n.Root, filepath.Join(n.Root, ".cache", "images"), images.Programs(), []string{"linux/" + runtime.GOARCH}, n.progress)
	if err != nil {
		return err
	}
	chart, err := release.Chart(filepath.Join(n.Root, "charts", "imagegate"), Registry+"/imagegate", items)
	if err != nil {
		return err
	}
	if err := release.Push(ctx, Registry+"/imagegate", append(items, chart), n.pushing...); err != nil {
		return fmt.Errorf("publish version %s: %w", version, err)
	}
	return nil
}
