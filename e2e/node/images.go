package node

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/imagegate/imagegate/e2e/registry"
)

// PushProgram makes an image of one static binary, which it runs as user 65532, and
// pushes it as repository:tag. It returns the reference by digest.
func (n *Node) PushProgram(ctx context.Context, binary, repository, tag string) (string, error) {
	data, err := os.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	in := filepath.Base(binary)
	img, err := registry.Of(runtime.GOARCH, map[string][]byte{in: data}, v1.Config{
		Entrypoint: []string{"/" + in}, User: "65532:65532", Labels: map[string]string{"tag": tag},
	}, tarball.WithCompressionLevel(gzip.BestSpeed)) // it travels over loopback
	if err != nil {
		return "", fmt.Errorf("make an image of %s: %w", binary, err)
	}
	return n.Push(ctx, img, repository, tag)
}
