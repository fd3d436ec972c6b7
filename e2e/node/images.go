package node

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Program makes an image of one static binary, which it runs, as user 65532. The
// label makes two images of one binary different.
func Program(binary, label string) (v1.Image, error) {
	data, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	in := filepath.Base(binary)
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	header := &tar.Header{Name: in, Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	// Packed once, with little effort: it travels over loopback.
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil },
		tarball.WithCompressionLevel(1), tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint, config.Config.User = []string{"/" + in}, "65532:65532"
	config.Config.Labels = map[string]string{"label": label}
	return mutate.ConfigFile(img, config)
}

// PushProgram is Program, pushed as repository:tag. It returns the reference by
// digest.
func (n *Node) PushProgram(ctx context.Context, binary, repository, tag string) (string, error) {
	img, err := Program(binary, tag)
	if err != nil {
		return "", err
	}
	return n.Push(ctx, img, repository, tag)
}
