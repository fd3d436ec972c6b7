package imagescan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/dustin/go-humanize"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/layercache"
	"github.com/imagegate/imagegate/scanner/rootfs"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// pulledImage is an image whose layers share one budget of unpacked bytes, so
// that a small layer that unpacks to gigabytes ends in a clear failure.
type pulledImage struct {
	v1.Image
	manifest *v1.Manifest
	registry string
	// blob fetches a part of the image, and ends with an error when it is not
	// what its digest says.
	blob   func(context.Context, v1.Hash) (io.ReadCloser, error)
	budget atomic.Int64
	limit  int64
}

func newPulledImage(img v1.Image, m *v1.Manifest, registry string, bytes int64, blob func(context.Context, v1.Hash) (io.ReadCloser, error)) *pulledImage {
	p := &pulledImage{Image: img, manifest: m, registry: registry, blob: blob, limit: bytes}
	p.budget.Store(bytes)
	return p
}

// spend takes bytes from the budget.
func (p *pulledImage) spend(n int64) error {
	if p.budget.Add(-n) < 0 {
		return failure.New(failure.TooLarge, "the image's layers unpack to more than %s, the limit on disk space", humanize.IBytes(uint64(p.limit)))
	}
	return nil
}

// layer is one layer of an image, unpacked.
type layer struct {
	v1.Descriptor
	// diffID is what the configuration says of the content, and what it was found
	// to be.
	diffID v1.Hash
	file   *os.File
	// spill has the contents of sparse files, when there are any.
	spill *os.File
	// cached layers were not fetched.
	cached bool
	index  *rootfs.Layer
}

// checkConfig refuses what runtimes do not unpack: they want one hash of content
// for each layer.
func checkConfig(c *v1.ConfigFile, m *v1.Manifest) error {
	if t := c.RootFS.Type; t != "" && t != "layers" {
		return failure.New(failure.Unsupported, "the image's file system is of type %q, which is not known", short(t))
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return failure.New(failure.Invalid, "the image contradicts itself: its manifest has %d layers and its configuration %d", len(m.Layers), len(c.RootFS.DiffIDs))
	}
	return nil
}

// layers unpacks all layers into a directory, the lowest first. Each is what the
// manifest says in the registry and what the configuration says when it is
// unpacked: a runtime that would unpack it to anything else does not run it. The
// files are the caller's to close, also when there is an error.
func (p *pulledImage) layers(ctx context.Context, config *v1.ConfigFile, dir string, req sandbox.Request) ([]*layer, error) {
	if err := checkConfig(config, p.manifest); err != nil {
		return nil, err
	}
	view, err := layercache.Look(req.LayerCache)
	if err != nil {
		slog.WarnContext(ctx, "the cache of layers cannot be read; all layers are fetched", "error", err)
		view = layercache.Nothing()
	}
	out := make([]*layer, len(p.manifest.Layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, d := range p.manifest.Layers {
		l := &layer{Descriptor: d, diffID: config.RootFS.DiffIDs[i]}
		out[i] = l
		group.Go(func() error { return p.unpackLayer(ctx, l, i, dir, view, req.Limits.File) })
	}
	return out, group.Wait()
}

// unpackLayer has one layer's content in a file, and its archive read.
func (p *pulledImage) unpackLayer(ctx context.Context, l *layer, index int, dir string, cache *layercache.View, most int64) (err error) {
	if packings()[l.MediaType] == asItIs && l.Digest != l.diffID {
		return contradiction(index, l.Digest.String(), l.diffID)
	}
	at := filepath.Join(dir, fmt.Sprintf("%d.tar", index))
	if size, ok := cache.Take(p.registry, l.Digest.String(), l.diffID.Hex, at, most); ok {
		l.cached = true
		if err := p.spend(size); err != nil {
			return err
		}
		l.file, err = os.Open(at)
	} else {
		l.file, err = os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	}
	if err != nil {
		return fmt.Errorf("open the file of a layer: %w", err)
	}
	if !l.cached {
		if err := p.fetch(ctx, l, index); err != nil {
			return err
		}
	}
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the file of a layer: %w", err)
	}
	l.index, err = rootfs.Read(ctx, l.file, index, func(size int64) (*os.File, error) {
		if err := p.spend(size); err != nil || l.spill != nil {
			return l.spill, err
		}
		l.spill, err = os.CreateTemp(dir, "sparse-")
		return l.spill, err
	})
	return err
}

// close closes the layer's files, which were only read or are done with.
func (l *layer) close() {
	for _, f := range []*os.File{l.file, l.spill} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// fetch writes a layer's content to its file.
func (p *pulledImage) fetch(ctx context.Context, l *layer, index int) (err error) {
	blob, err := p.blob(ctx, l.Digest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreClosed(blob.Close())) }()
	packed := &counted{Reader: blob}
	content, err := unpack(packed, packings()[l.MediaType])
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // it has been read to its end, or that was the error
	sum := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(l.file, sum), &spent{Reader: content, image: p}, make([]byte, 256<<10)); err != nil {
		return err
	}
	// The digest is found right only at the end.
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return err
	}
	if packed.bytes != l.Size {
		return failure.New(failure.Invalid, "the image is broken: its layer %d has %d bytes and its manifest says %d", index, packed.bytes, l.Size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); l.diffID.Algorithm != "sha256" || got != l.diffID.Hex {
		return contradiction(index, "sha256:"+got, l.diffID)
	}
	return nil
}

func contradiction(index int, got string, said v1.Hash) error {
	return failure.New(failure.Invalid, "the image contradicts itself: its layer %d unpacks to %s, and its configuration (diff_ids) says %s", index, got, short(said.String()))
}

// ignoreClosed is for what has been closed by its own end.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

type counted struct {
	io.Reader
	bytes int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.bytes += int64(n)
	return n, err
}

// spent counts against the image's budget what is read.
type spent struct {
	io.Reader
	image *pulledImage
}

func (s *spent) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if tooMuch := s.image.spend(int64(n)); tooMuch != nil {
		return n, tooMuch
	}
	return n, err
}

// leaveForCache moves the layers that were fetched to where the worker finds
// them. They stay readable to whoever has them open. What cannot be moved is
// fetched again another time.
func (p *pulledImage) leaveForCache(ctx context.Context, layers []*layer, req sandbox.Request) {
	if req.LayerCache == "" || len(layers) == 0 {
		return
	}
	dir := filepath.Join(req.WorkDir, sandbox.LayersDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		slog.WarnContext(ctx, "layers cannot be left for the cache", "error", err)
		return
	}
	for _, l := range layers {
		name := layercache.Name(p.registry, l.Digest.String(), l.diffID.Hex)
		if l.cached || name == "" {
			continue
		}
		if err := os.Rename(l.file.Name(), filepath.Join(dir, name)); err != nil {
			slog.DebugContext(ctx, "a layer cannot be left for the cache", "layer", l.Digest.String(), "error", err)
		}
	}
}
