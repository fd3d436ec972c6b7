package pullthrough

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"golang.org/x/sync/semaphore"

	"github.com/imagegate/imagegate/provider/turns"
)

const (
	// chunkSize is what is compared and handed on at a time, in bytes.
	chunkSize = 256 << 10
	// keepLayer is the size up to which a verified layer is kept until it is
	// handed on, keepAll bounds what is kept of all, in bytes. What is not kept
	// is read twice.
	keepLayer = 8 << 20
	keepAll   = 64 << 20
)

// layer is one layer of an image as its manifest and configuration have it.
type layer struct {
	digest  string
	size    int64
	diffID  string
	packing packing

	// turn is held while the layer is verified, so that it is once.
	turn chan struct{}
	// sums are those of the chunks of a layer that is verified, and nil before.
	sums [][sha256.Size]byte
	// kept is the whole layer, or nil.
	kept []byte
	// room is what kept takes of keepAll.
	room *semaphore.Weighted
}

// verify reads the layer once and compares it with what names it, unless that
// has been done. Its errors are *report.Failure.
func (l *layer) verify(ctx context.Context, o *origin, work *work) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return o.trouble("a layer", ctx.Err())
	}
	if l.sums != nil {
		return nil
	}
	from, err := o.blob(ctx, l.digest)
	if err != nil {
		return o.trouble("layer "+l.digest, err)
	}
	defer from.close()
	if from.length >= 0 && from.length != l.size {
		return o.otherBytes("layer", l.digest)
	}
	var kept *bytes.Buffer
	if l.size <= keepLayer && work.kept.TryAcquire(l.size) {
		kept = bytes.NewBuffer(make([]byte, 0, l.size))
		defer func() {
			if l.kept == nil {
				work.kept.Release(l.size)
			}
		}()
	}
	sums, err := l.compare(ctx, o, from, work, kept)
	if err != nil {
		return err
	}
	l.sums = sums
	if kept != nil {
		l.kept, l.room = kept.Bytes(), work.kept
	}
	return nil
}

// compare returns the sums of the chunks when all is as it should be.
func (l *layer) compare(ctx context.Context, o *origin, from *body, work *work, kept *bytes.Buffer) ([][sha256.Size]byte, error) {
	whole, unpacked := sha256.New(), newUnpacker(l.packing, &slot{work: work, ctx: ctx, share: o.share})
	defer unpacked.abort()
	sums := [][sha256.Size]byte{}
	chunk := make([]byte, chunkSize)
	// What cannot be unpacked is read to its end all the same: whether the
	// registry or the image is at fault shows only there.
	var broken error
	for left := l.size; left > 0; {
		b := chunk[:min(left, chunkSize)]
		if err := l.read(o, from, b); err != nil {
			return nil, err
		}
		left -= int64(len(b))
		err := work.do(ctx, o.share, func() {
			_, _ = whole.Write(b) // a hash never fails
			sums = append(sums, sha256.Sum256(b))
			if kept != nil {
				_, _ = kept.Write(b)
			}
		})
		if err != nil {
			return nil, o.trouble("layer "+l.digest, err)
		}
		if broken == nil {
			_, broken = unpacked.Write(b)
		}
	}
	if n, err := io.ReadFull(from, chunk[:1]); n > 0 {
		return nil, o.otherBytes("layer", l.digest)
	} else if !errors.Is(err, io.EOF) {
		return nil, o.trouble("layer "+l.digest, err)
	}
	if digestOf(whole.Sum(nil)) != l.digest {
		return nil, o.otherBytes("layer", l.digest)
	}
	got, err := unpacked.diffID()
	if errors.Is(err, errBomb) {
		return nil, o.tooLarge("its layer %s unpacks to more than %d bytes", l.digest, int64(maxUnpacked))
	}
	if errors.Is(err, turns.ErrCrowded) {
		return nil, o.trouble("layer "+l.digest, err)
	}
	if err != nil {
		return nil, o.wrong("its layer %s is broken: %s", l.digest, err)
	}
	if got != l.diffID {
		return nil, o.wrong("its layer %s unpacks to other content than its configuration names (%s)", l.digest, l.diffID)
	}
	return sums, nil
}

// read fills b. A body that ends before it should is not what the digest names,
// unless it was broken off.
func (l *layer) read(o *origin, from *body, b []byte) error {
	_, err := io.ReadFull(from, b)
	switch {
	case err == nil:
		return nil
	case from.ended():
		return o.otherBytes("layer", l.digest)
	default:
		return o.trouble("layer "+l.digest, err)
	}
}

// send hands a verified layer on.
func (l *layer) send(ctx context.Context, o *origin, work *work, w io.Writer) error {
	if kept := l.peek(); kept != nil {
		if _, err := w.Write(kept); err != nil {
			return err
		}
		l.drop()
		return nil
	}
	from, err := o.blob(ctx, l.digest)
	if err != nil {
		return o.trouble("layer "+l.digest, err)
	}
	defer from.close()
	chunk := make([]byte, chunkSize)
	left := l.size
	for _, want := range l.sums {
		b := chunk[:min(left, chunkSize)]
		if err := l.read(o, from, b); err != nil {
			return err
		}
		left -= int64(len(b))
		same := false
		if err := work.do(ctx, o.share, func() { same = sha256.Sum256(b) == want }); err != nil {
			return o.trouble("layer "+l.digest, err)
		}
		if !same {
			return o.otherBytes("layer", l.digest)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) peek() []byte {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.kept
}

// drop gives back what is kept of the layer.
func (l *layer) drop() {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.kept != nil {
		l.kept = nil
		l.room.Release(l.size)
	}
}
