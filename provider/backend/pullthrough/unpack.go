package pullthrough

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// packing is how a layer's media type says that it is compressed.
type packing int

const (
	// plain is a tar. Container runtimes take it as it is.
	plain packing = iota
	// packed is compressed, in the way that its first bytes tell: container
	// runtimes and scanners do not rely on the type for more.
	packed
)

func packingOf(mediaType string) (packing, bool) {
	switch mediaType {
	case string(types.DockerUncompressedLayer), ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerNonDistributable: //nolint:staticcheck // still there in images of Windows
		return plain, true
	case string(types.DockerLayer), string(types.DockerForeignLayer), "application/vnd.docker.image.rootfs.diff.tar.zstd",
		ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		ocispec.MediaTypeImageLayerNonDistributableGzip, ocispec.MediaTypeImageLayerNonDistributableZstd: //nolint:staticcheck // still there in images of Windows
		return packed, true
	}
	return plain, false
}

const (
	// maxUnpacked bounds a layer's unpacked size in bytes, which a compressed
	// one may exceed a thousandfold.
	maxUnpacked = 32 << 30
	// maxWindow bounds the memory that a zstd stream may ask for.
	maxWindow = 32 << 20
)

var (
	errAmbiguous = errors.New("it is said not to be compressed and begins as if it were, so that readers disagree about its content")
	errBomb      = errors.New("it unpacks to more than is read of a layer")
)

// unpacker computes a layer's diff ID out of the bytes that are written to it.
type unpacker struct {
	in   *io.PipeWriter
	done chan struct{}
	sum  []byte
	err  error
}

// Its work is done in the slot.
func newUnpacker(p packing, slot *slot) *unpacker {
	r, w := io.Pipe()
	u := &unpacker{in: w, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		defer slot.give()
		u.sum, u.err = unpack(r, p, maxUnpacked, slot)
		// Writing on ends with why nobody reads.
		_ = r.CloseWithError(u.err)
	}()
	return u
}

// Write implements io.Writer. It fails with what is wrong with the content.
func (u *unpacker) Write(b []byte) (int, error) { return u.in.Write(b) }

// diffID is the digest of the unpacked content, all of which has been written.
func (u *unpacker) diffID() (string, error) {
	_ = u.in.Close()
	<-u.done
	return digestOf(u.sum), u.err
}

// abort gives the unpacker up.
func (u *unpacker) abort() {
	_ = u.in.CloseWithError(io.ErrUnexpectedEOF)
	<-u.done
}

func unpack(r io.Reader, p packing, limit int64, slot *slot) (_ []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("unpacking it failed: %v", p)
		}
	}()
	buffered := bufio.NewReaderSize(&outside{inner: r, slot: slot}, 64<<10)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	content := io.Reader(buffered)
	gzipped, zstandard := bytes.HasPrefix(head, []byte{0x1f, 0x8b}), isZstd(head)
	switch {
	case p == plain && (gzipped || zstandard):
		return nil, errAmbiguous
	case gzipped:
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("it cannot be unpacked: %w", err)
		}
		defer func() { _ = z.Close() }()
		content = z
	case zstandard:
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("it cannot be unpacked: %w", err)
		}
		defer z.Close()
		content = z
	}
	sum := sha256.New()
	n, err := io.Copy(&breathing{inner: sum, slot: slot, left: breathAfter}, io.LimitReader(content, limit+1))
	if err != nil {
		return nil, fmt.Errorf("it cannot be unpacked: %w", err)
	}
	if n > limit {
		return nil, errBomb
	}
	// A reader that stops early would leave the writer waiting.
	if _, err := buffered.Peek(1); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has something after its end")
	}
	return sum.Sum(nil), nil
}

// isZstd knows frames and the skippable ones before them.
func isZstd(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(head) == 4 && head[0]&0xf0 == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18
}
