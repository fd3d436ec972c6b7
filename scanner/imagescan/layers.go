package imagescan

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dustin/go-humanize"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/layercache"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// pulledImage is an image whose layers share one budget of unpacked bytes, so
// that a small layer that unpacks to gigabytes ends in a clear failure. Each
// layer is hashed while it is unpacked, which is what the cache of layers needs
// to know about it.
type pulledImage struct {
	v1.Image
	registry string
	budget   atomic.Int64
	limit    int64

	mu       sync.Mutex
	unpacked map[v1.Hash][sha256.Size]byte // by digest: the content's
}

func newPulledImage(img v1.Image, registry string, bytes int64) *pulledImage {
	p := &pulledImage{Image: img, registry: registry, limit: bytes, unpacked: map[v1.Hash][sha256.Size]byte{}}
	p.budget.Store(bytes)
	return p
}

// Layers wraps the image's layers.
func (p *pulledImage) Layers() ([]v1.Layer, error) {
	layers, err := p.Image.Layers()
	if err != nil {
		return nil, err
	}
	out := make([]v1.Layer, len(layers))
	for i, l := range layers {
		out[i] = pulledLayer{Layer: l, image: p}
	}
	return out, nil
}

// spend takes bytes from the budget.
func (p *pulledImage) spend(n int64) error {
	if p.budget.Add(-n) < 0 {
		return failure.New(failure.TooLarge, "the image's layers unpack to more than %s, the limit on disk space", humanize.IBytes(uint64(p.limit)))
	}
	return nil
}

type pulledLayer struct {
	v1.Layer
	image *pulledImage
}

// Uncompressed is the only way layers are read.
func (l pulledLayer) Uncompressed() (io.ReadCloser, error) {
	digest, err := l.Digest()
	if err != nil {
		return nil, err
	}
	rc, err := l.Layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	return &layerReader{ReadCloser: rc, image: l.image, digest: digest, hash: sha256.New()}, nil
}

type layerReader struct {
	io.ReadCloser
	image  *pulledImage
	digest v1.Hash
	hash   hash.Hash
}

func (r *layerReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if tooMuch := r.image.spend(int64(n)); tooMuch != nil {
		return n, tooMuch
	}
	r.hash.Write(b[:n])
	// The end comes only after the layer's own digest was found right.
	if err == io.EOF {
		r.image.mu.Lock()
		r.image.unpacked[r.digest] = [sha256.Size]byte(r.hash.Sum(nil))
		r.image.mu.Unlock()
	}
	return n, err
}

// slot is one layer of an image and the file that it is unpacked to.
type slot struct {
	digest v1.Hash
	path   string
}

// slots says where Stereoscope unpacks the layers of the image: files named by
// index and by what the configuration says of their content. It takes a file
// that is there for the layer itself. Without a full list of those names, which
// would be an unusual image, there are no slots and the cache is not used.
func (p *pulledImage) slots(dir string) ([]slot, error) {
	manifest, err := p.Manifest()
	if err != nil {
		return nil, fmt.Errorf("read the image's manifest: %w", err)
	}
	config, err := p.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return nil, nil
	}
	out := make([]slot, len(manifest.Layers))
	for i, l := range manifest.Layers {
		name := fmt.Sprintf("%d-%s", i, strings.ReplaceAll(config.RootFS.DiffIDs[i].String(), ":", "-"))
		// What a configuration says goes into a path; it is parsed as a hash, and
		// must not be more than a name.
		if filepath.Base(name) != name {
			return nil, nil
		}
		out[i] = slot{digest: l.Digest, path: filepath.Join(dir, name)}
	}
	return out, nil
}

// takeCached puts the layers that the cache has into their slots, and returns
// how many it had. Cached layers count like others.
func (p *pulledImage) takeCached(ctx context.Context, slots []slot, req sandbox.Request) (int, error) {
	view, err := layercache.Look(req.LayerCache)
	if err != nil {
		slog.WarnContext(ctx, "the cache of layers cannot be read; all layers are fetched", "error", err)
		return 0, nil
	}
	var taken atomic.Int64
	errs := make([]error, len(slots))
	var wg sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, s := range slots {
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			if size, ok := view.Take(p.registry, s.digest.String(), s.path, req.Limits.File); ok {
				taken.Add(1)
				errs[i] = p.spend(size)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return int(taken.Load()), nil
}

// leaveForCache moves the layers that were fetched to where the worker finds
// them. They stay readable to whoever has them open. What cannot be moved is
// fetched again another time.
func (p *pulledImage) leaveForCache(ctx context.Context, slots []slot, req sandbox.Request) {
	if req.LayerCache == "" || len(slots) == 0 {
		return
	}
	dir := filepath.Join(req.WorkDir, sandbox.LayersDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		slog.WarnContext(ctx, "layers cannot be left for the cache", "error", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range slots {
		content, ok := p.unpacked[s.digest]
		if !ok {
			continue
		}
		name := layercache.Name(p.registry, s.digest.String(), content)
		if name == "" {
			continue
		}
		if err := os.Rename(s.path, filepath.Join(dir, name)); err != nil {
			slog.DebugContext(ctx, "a layer cannot be left for the cache", "layer", s.digest.String(), "error", err)
		}
	}
}
