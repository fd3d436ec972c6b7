package transport

import (
	"errors"
	"io"
)

// ErrTooLarge ends the reading of an answer that is larger than it may be.
var ErrTooLarge = errors.New("the answer is too large")

// Bound returns body so that its reader gets at most that many bytes, and
// ErrTooLarge beside them when there are more: what a registry sends is as long
// as it likes.
func Bound(body io.ReadCloser, most int64) io.ReadCloser {
	return &bounded{ReadCloser: body, left: most}
}

type bounded struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	// One byte more than allowed tells "just fits" from "too long".
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}
