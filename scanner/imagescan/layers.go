package imagescan

import (
	"io"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/imagegate/imagegate/scanner/failure"
)

// boundedImage is an image whose layers share one budget of unpacked bytes, so
// that a small layer that unpacks to gigabytes ends in a clear failure. It is
// also the place for a cache of layers: it sees each one before it is read.
type boundedImage struct {
	v1.Image
	budget *atomic.Int64
	limit  int64
}

func newBoundedImage(img v1.Image, bytes int64) *boundedImage {
	b := &boundedImage{Image: img, budget: new(atomic.Int64), limit: bytes}
	b.budget.Store(bytes)
	return b
}

// Layers wraps the image's layers.
func (b *boundedImage) Layers() ([]v1.Layer, error) {
	layers, err := b.Image.Layers()
	if err != nil {
		return nil, err
	}
	out := make([]v1.Layer, len(layers))
	for i, l := range layers {
		out[i] = boundedLayer{Layer: l, image: b}
	}
	return out, nil
}

type boundedLayer struct {
	v1.Layer
	image *boundedImage
}

// Uncompressed is the only way layers are read.
func (l boundedLayer) Uncompressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	return &boundedReader{ReadCloser: rc, image: l.image}, nil
}

type boundedReader struct {
	io.ReadCloser
	image *boundedImage
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.image.budget.Add(-int64(n)) < 0 {
		return n, failure.New(failure.TooLarge, "the image's layers unpack to more than %d MiB, the limit on disk space", r.image.limit>>20)
	}
	return n, err
}
