package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// A stored report is a head and the scan's JSON, compressed with zstd:
//
//	0   4  magic
//	4   1  format that it was written in
//	5   1  oldest format whose readers may read it
//	6   4  bytes of the JSON, big endian
//	10 32  SHA-256 of the above, the key, a line feed, and what follows
//	42     the compressed JSON
//
// The first six bytes stay as they are in every format, so that an old reader
// knows a value that it must not read. A reader passes over fields of the JSON
// that it does not know. Therefore a writer that adds a field without which a
// report could read better than it is (a kind of finding, a reason not to believe
// it) MUST raise the oldest format; one that adds what can be missed need not.
const (
	magic  = "igsr"
	format = 1
	oldest = 1

	sizeAt   = 6
	sumAt    = 10
	headSize = sumAt + sha256.Size
)

// Bounds of what is written and read. Scanners' reports are bounded by less.
const (
	// maxPlain bounds the JSON of one report.
	maxPlain = 64 << 20
	// maxUnpacked bounds what a report takes once it is read: JSON may consist of
	// nothing but empty findings, of which each takes a hundred times its text.
	maxUnpacked = 4 * maxPlain
	// window bounds what compressing takes beside the report.
	window = 1 << 20
)

// errNewer means that a value was written by a newer provider, for newer readers
// only.
var errNewer = errors.New("it was written by a newer version of the provider")

// codec turns scans into values and back. It is safe for concurrent use.
type codec struct {
	compress *zstd.Encoder
	unpack   *zstd.Decoder
	// turns bound the values that are packed or unpacked at once, and with them
	// the memory that this takes.
	turns chan struct{}
	// format and oldest are the constants, but for tests of other versions.
	format, oldest byte
}

// codecs bounds the values that are packed or unpacked at once.
const codecs = 4

func newCodec() (*codec, error) {
	compress, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(codecs), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("making the compressor of reports: %w", err)
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(codecs), zstd.WithDecoderMaxMemory(maxPlain), zstd.WithDecoderMaxWindow(maxPlain), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the decompressor of reports: %w", err), compress.Close())
	}
	return &codec{compress: compress, unpack: unpack, turns: make(chan struct{}, codecs), format: format, oldest: oldest}, nil
}

// encode returns the value of a key, and how long the JSON in it is. What could
// not be read again is an error.
func (c *codec) encode(key string, scan *report.Scan) (value []byte, plain int, err error) {
	if err := whole(key, scan); err != nil {
		return nil, 0, err
	}
	c.turns <- struct{}{}
	defer func() { <-c.turns }()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // the scanner's own report is passed on untouched
	if err := e.Encode(scan); err != nil {
		return nil, 0, err
	}
	if text.Len() > maxPlain || unpacked(text.Bytes()) > maxUnpacked {
		return nil, 0, fmt.Errorf("it has %d bytes, more than can be kept", text.Len())
	}
	value = make([]byte, headSize, headSize+text.Len()/4)
	copy(value, magic)
	value[4], value[5] = c.format, c.oldest
	binary.BigEndian.PutUint32(value[sizeAt:], uint32(text.Len()))
	value = c.compress.EncodeAll(text.Bytes(), value)
	copy(value[sumAt:], sum(key, value))
	return value, text.Len(), nil
}

// decode returns the scan in a value, and how long its JSON is. The error is
// errNewer, or says what is wrong with the value: it is no report then, never a
// report of nothing.
func (c *codec) decode(key string, value []byte) (scan *report.Scan, plain int, err error) {
	switch {
	case len(value) < headSize:
		return nil, 0, fmt.Errorf("it is cut short after %d bytes", len(value))
	case string(value[:len(magic)]) != magic:
		return nil, 0, errors.New("it is no report")
	case value[5] > c.format:
		return nil, 0, errNewer
	case !bytes.Equal(value[sumAt:headSize], sum(key, value)):
		return nil, 0, errors.New("its checksum is wrong")
	}
	size := binary.BigEndian.Uint32(value[sizeAt:])
	if size > maxPlain {
		return nil, 0, fmt.Errorf("it claims to be %d bytes large", size)
	}
	c.turns <- struct{}{}
	defer func() { <-c.turns }()
	text, err := c.unpack.DecodeAll(value[headSize:], make([]byte, 0, size))
	if err != nil {
		return nil, 0, fmt.Errorf("unpacking it: %w", err)
	}
	if len(text) != int(size) {
		return nil, 0, fmt.Errorf("it is %d bytes large and claims to be %d", len(text), size)
	}
	if n := unpacked(text); n > maxUnpacked {
		return nil, 0, fmt.Errorf("it would take %d bytes of memory", n)
	}
	scan = &report.Scan{}
	if err := json.Unmarshal(text, scan); err != nil {
		return nil, 0, fmt.Errorf("reading it: %w", err)
	}
	if err := whole(key, scan); err != nil {
		return nil, 0, err
	}
	// Older providers wrote findings under whatever the scanner called them.
	report.Arrange(scan.Vulnerabilities)
	return scan, len(text), nil
}

// sum is over all of a value but the sum itself, and over the key, so that no
// report is read as that of another image.
func sum(key string, value []byte) []byte {
	h := sha256.New()
	h.Write(value[:sumAt])
	h.Write([]byte(key + "\n"))
	h.Write(value[headSize:])
	return h.Sum(nil)
}

// unpacked is at least about what JSON takes once it is read.
func unpacked(text []byte) int {
	const element = 32 // a string's or slice's header, and room to grow
	return len(text) + bytes.Count(text, []byte{','})*element + bytes.Count(text, []byte{'{'})*perFinding
}

// whole returns nil for a scan that shows that somebody looked at the manifest
// that the key begins with, as of when it was kept: what has been lost on the way
// must not read as good. Whether it has become too old is asked elsewhere.
func whole(key string, scan *report.Scan) error {
	if scan == nil {
		return errors.New("there is no scan")
	}
	if of := backend.ByDigest.Key(backend.Image{Digest: scan.Subject}); key != of && !strings.HasPrefix(key, of+".") {
		return fmt.Errorf("it is about %q", report.Clean(scan.Subject, len(key)))
	}
	return report.Complete(scan, scan.Subject, scan.ReceivedAt)
}
