package imagescan

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packing says how a layer's type has it read.
type packing bool

// Runtimes take layers of some types as they are, and look at the content of
// others to see whether it is compressed and how.
const (
	asItIs   packing = false
	lookedAt packing = true
)

// Types of layers that go-containerregistry has no name for.
const (
	dockerZstd         types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"
	dockerPlainForeign types.MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	ociForeignZstd     types.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
)

// packings are the types that containerd unpacks, each in its way. Docker's
// plain types were used for compressed layers too, and are looked at.
func packings() map[types.MediaType]packing {
	return map[types.MediaType]packing{
		types.OCIUncompressedLayer:           asItIs,
		types.OCIUncompressedRestrictedLayer: asItIs,
		types.OCILayer:                       lookedAt,
		types.OCILayerZStd:                   lookedAt,
		types.OCIRestrictedLayer:             lookedAt,
		ociForeignZstd:                       lookedAt,
		types.DockerLayer:                    lookedAt,
		types.DockerUncompressedLayer:        lookedAt,
		types.DockerForeignLayer:             lookedAt,
		dockerZstd:                           lookedAt,
		dockerPlainForeign:                   lookedAt,
	}
}

// unpack reads a layer as a container runtime does. The type's ending says
// nothing about the compression: the first bytes do.
func unpack(packed io.Reader, how packing) (io.ReadCloser, error) {
	if how == asItIs {
		return io.NopCloser(packed), nil
	}
	const most = 10
	r := bufio.NewReaderSize(packed, 32<<10)
	begin, err := r.Peek(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b, 0x08}):
		zr, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("unpack a gzip layer: %w", err)
		}
		return zr, nil
	case isZstd(begin):
		zr, err := zstd.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("unpack a zstd layer: %w", err)
		}
		return zr.IOReadCloser(), nil
	default:
		return io.NopCloser(r), nil
	}
}

// isZstd recognises a frame, or one of the sixteen kinds that are skipped.
func isZstd(begin []byte) bool {
	const frame, skipped, header = 0xfd2fb528, 0x184d2a50, 8
	if len(begin) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(begin)
	return magic == frame || len(begin) >= header && magic&^0xf == skipped
}
